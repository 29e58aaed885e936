-- The order of service, durable and indexed: `libs/tiers/fair_queue.py` says what it decides and why,
-- and a test runs both on the same histories. Choosing costs the same for ten waiting jobs and for a
-- million: it reads a few places of the index of users, never the jobs.

ALTER TABLE generation.jobs
    ADD COLUMN due boolean NOT NULL DEFAULT true,
    ADD COLUMN marks jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN generation.jobs.due IS 'false while it rests until due_at';
COMMENT ON COLUMN generation.jobs.marks IS 'moments of its life: [{"name", "at", ...}]';
UPDATE generation.jobs SET due = false WHERE state = 'queued' AND due_at > now();

DROP INDEX generation.ix_jobs_queued, generation.ix_jobs_lease, generation.ix_jobs_running;
CREATE INDEX ix_jobs_queued ON generation.jobs (user_id, pool, tier, id)
    WHERE state = 'queued' AND due;
CREATE INDEX ix_jobs_resting ON generation.jobs (due_at) WHERE state = 'queued' AND NOT due;

-- A user's place in the queue of a tier. `tag` is the virtual time at which the user's next job
-- starts; the head is the user's oldest due job, and nobody's when `head_id` is null. `used` are the
-- milli-credits of the last minutes, as they counted at `used_at`.
CREATE TABLE generation.flows (
    pool text NOT NULL,
    tier text NOT NULL,
    user_id uuid NOT NULL,
    tag double precision NOT NULL DEFAULT 0,
    used double precision NOT NULL DEFAULT 0,
    used_at timestamptz NOT NULL DEFAULT '-infinity',
    head_id uuid,
    head_model text,
    head_cost bigint,
    head_since timestamptz,
    head_expires timestamptz,
    PRIMARY KEY (user_id, pool, tier)
) WITH (fillfactor = 70);
CREATE INDEX ix_flows_order ON generation.flows (pool, tier, tag, head_id)
    WHERE head_id IS NOT NULL;
CREATE INDEX ix_flows_ages ON generation.flows (pool, tier, head_since, head_id)
    WHERE head_id IS NOT NULL;

-- What is in flight: the right of one worker to one job until a moment. Renewing touches nothing
-- else. (attempt, worker) is the fence. It goes with its job's state, so it needs no foreign key.
CREATE TABLE generation.leases (
    user_id uuid NOT NULL,
    job_id uuid NOT NULL,
    pool text NOT NULL,
    tier text NOT NULL,
    attempt integer NOT NULL,
    worker text NOT NULL,
    until timestamptz NOT NULL,
    cancel_requested boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, job_id)
) WITH (fillfactor = 50);
INSERT INTO generation.leases
    SELECT user_id, id, pool, tier, attempt, worker, lease_until, cancel_requested
    FROM generation.jobs WHERE state = 'running';
ALTER TABLE generation.jobs DROP COLUMN lease_until, DROP COLUMN cancel_requested;

-- Who serves, as each worker says every few seconds.
CREATE TABLE generation.workers (
    name text PRIMARY KEY,
    pools text[] NOT NULL,
    slots integer NOT NULL CHECK (slots > 0),
    models text[] NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- The queue as the relay sees it once a second; `share` are the slots that one user of a tier may
-- keep busy, over some minutes, before others come first.
CREATE TABLE generation.outlooks (
    pool text NOT NULL,
    tier text NOT NULL,
    share double precision NOT NULL DEFAULT 1,
    at timestamptz NOT NULL DEFAULT now(),
    outlook jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (pool, tier)
) WITH (fillfactor = 50);

DROP TABLE generation.user_clocks, generation.tier_clocks, generation.pool_clocks;
CREATE TABLE generation.pool_clocks (
    pool text PRIMARY KEY,
    virtual_time double precision NOT NULL DEFAULT 0,
    dispatches bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE generation.tier_clocks (
    pool text NOT NULL,
    tier text NOT NULL,
    finish_tag double precision NOT NULL DEFAULT 0,
    virtual_time double precision NOT NULL DEFAULT 0,
    served_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (pool, tier)
) WITH (fillfactor = 50);
INSERT INTO generation.pool_clocks (pool) VALUES ('standard'), ('premium');

-- A due job has come: it is its user's head if none is older. Who comes back after a pause starts
-- where the tier is now, so that nobody saves up turns.
CREATE FUNCTION generation.enter_queue(job generation.jobs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO generation.flows AS f (pool, tier, user_id, tag, head_id, head_model, head_cost,
            head_since, head_expires)
        VALUES (job.pool, job.tier, job.user_id, coalesce((SELECT c.virtual_time
                FROM generation.tier_clocks c WHERE c.pool = job.pool AND c.tier = job.tier), 0),
            job.id, job.model, job.quoted_millicredits, job.created_at, job.expires_at)
        ON CONFLICT (user_id, pool, tier) DO UPDATE SET
            tag = CASE WHEN f.head_id IS NULL THEN greatest(f.tag, excluded.tag) ELSE f.tag END,
            head_id = excluded.head_id, head_model = excluded.head_model,
            head_cost = excluded.head_cost, head_since = excluded.head_since,
            head_expires = excluded.head_expires
        WHERE f.head_id IS NULL OR excluded.head_id < f.head_id;
END $$;

-- A waiting job has gone other than by a claim: if it was the user's head, the next one is.
-- Whoever goes locks the place, head or not: of two that go at once, the second sees what the first
-- made of it.
CREATE FUNCTION generation.leave_queue(job generation.jobs) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    head uuid;
BEGIN
    SELECT f.head_id INTO head FROM generation.flows f
        WHERE f.user_id = job.user_id AND f.pool = job.pool AND f.tier = job.tier FOR UPDATE;
    IF head = job.id THEN
        UPDATE generation.flows f SET head_id = n.id, head_model = n.model,
                head_cost = n.quoted_millicredits, head_since = n.created_at,
                head_expires = n.expires_at
            FROM (SELECT) one LEFT JOIN LATERAL (
                SELECT * FROM generation.jobs j
                WHERE j.user_id = job.user_id AND j.pool = job.pool AND j.tier = job.tier
                    AND j.state = 'queued' AND j.due
                ORDER BY j.id LIMIT 1
            ) n ON true
            WHERE f.user_id = job.user_id AND f.pool = job.pool AND f.tier = job.tier;
    END IF;
END $$;

-- The state machine: queued -> running -> an end, or back; failed -> queued is an operator's requeue.
CREATE FUNCTION generation.may_become(p_old text, p_new text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_old
        WHEN 'queued' THEN p_new IN ('queued', 'running', 'cancelled', 'expired')
        WHEN 'running' THEN
            p_new IN ('running', 'queued', 'succeeded', 'partial', 'failed', 'cancelled')
        WHEN 'failed' THEN p_new IN ('failed', 'queued')
        ELSE p_new = p_old END
$$;

-- Whatever changes a job: its place and its lease follow, and no state is left by a way that does not
-- exist. A claim moves the place itself. One trigger, without WHEN: each would be parsed for every
-- statement, at the cost of a write.
CREATE FUNCTION generation.keep_queue() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state = 'queued' AND NEW.due THEN
            PERFORM generation.enter_queue(NEW);
        END IF;
        RETURN NULL;
    END IF;
    IF NOT generation.may_become(OLD.state, NEW.state) THEN
        RAISE EXCEPTION 'a job that is % cannot become %', OLD.state, NEW.state
            USING ERRCODE = 'integrity_constraint_violation';
    ELSIF OLD.state = 'running' THEN
        IF NEW.state <> 'running' THEN
            DELETE FROM generation.leases WHERE user_id = OLD.user_id AND job_id = OLD.id;
        END IF;
    ELSIF OLD.state = 'queued' AND OLD.due AND NEW.state <> 'running'
        AND (NEW.state, NEW.due, NEW.pool, NEW.tier) <> (OLD.state, OLD.due, OLD.pool, OLD.tier)
    THEN
        PERFORM generation.leave_queue(OLD);
    END IF;
    IF NEW.state = 'queued' AND NEW.due
        AND (NEW.state, NEW.due, NEW.pool, NEW.tier) <> (OLD.state, OLD.due, OLD.pool, OLD.tier)
    THEN
        PERFORM generation.enter_queue(NEW);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_queue
    AFTER INSERT OR UPDATE OF state, due, pool, tier ON generation.jobs
    FOR EACH ROW EXECUTE FUNCTION generation.keep_queue();

-- What is not forgotten yet of a user's milli-credits; `p_seconds` is the time constant.
CREATE FUNCTION generation.use_at(
    p_used double precision, p_used_at timestamptz, p_now timestamptz, p_seconds double precision
) RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_used = 0 THEN 0
        ELSE p_used * exp(extract(epoch FROM p_used_at - p_now)::float8 / p_seconds) END
$$;

-- How a pool's tiers are to be served, as libs/tiers/fair_rules.py says.
CREATE TYPE generation.policy AS (
    tiers text[], weights int[], running int[], bounds double precision[], overdue_every int,
    unserved_every int, unserved_seconds double precision, use_seconds double precision,
    affinity_seconds double precision, affinity_depth int, lease_seconds int
);

-- A head whose turn it is, and the clocks of its tier.
CREATE TYPE generation.turn AS (
    tier text, weight int, running int, bound interval, most double precision,
    start double precision, virtual_time double precision, user_id uuid, job_id uuid, cost bigint,
    tag double precision, model text, since timestamptz
);

-- Whose turn it is, locked with its job: the first user of the first tier by the clocks, or of the
-- tiers that were not served for long, the longest first. The user is below the running limit and,
-- unless noisy users are asked for, has not had more than the share; the head is in time.
CREATE FUNCTION generation.next_turn(
    p_pool text, p generation.policy, p_unserved boolean, p_noisy boolean, p_now timestamptz
) RETURNS generation.turn LANGUAGE plpgsql AS $$
DECLARE
    found generation.turn;
BEGIN
    SELECT t.tier, t.weight, t.running, NULL, t.most, t.start, t.virtual_time, h.user_id,
            h.head_id, h.head_cost, h.tag, h.head_model, h.head_since INTO found
        FROM (
            SELECT r.tier, r.weight, r.running, o.share * p.use_seconds * 1000 AS most,
                greatest(c.finish_tag, k.virtual_time) AS start,
                coalesce(c.virtual_time, 0) AS virtual_time
            FROM generation.pool_clocks k
            CROSS JOIN unnest(p.tiers, p.weights, p.running) r (tier, weight, running)
            LEFT JOIN generation.tier_clocks c ON c.pool = p_pool AND c.tier = r.tier
            LEFT JOIN generation.outlooks o ON o.pool = p_pool AND o.tier = r.tier
            WHERE k.pool = p_pool AND (NOT p_unserved OR c.served_at IS NULL
                OR c.served_at < p_now - make_interval(secs => p.unserved_seconds))
            ORDER BY CASE WHEN p_unserved
                    THEN coalesce(extract(epoch FROM c.served_at)::float8, '-infinity')
                    ELSE greatest(c.finish_tag, k.virtual_time) END, r.weight DESC
        ) t CROSS JOIN LATERAL (
            SELECT w.* FROM generation.flows w JOIN generation.jobs j ON j.id = w.head_id
            WHERE w.pool = p_pool AND w.tier = t.tier AND w.head_id IS NOT NULL
                AND j.state = 'queued' AND j.due
                AND (w.head_expires IS NULL OR w.head_expires > p_now)
                AND (p_noisy OR t.most IS NULL
                    OR generation.use_at(w.used, w.used_at, p_now, p.use_seconds) <= t.most)
                AND (SELECT count(*) FROM generation.leases l WHERE l.user_id = w.user_id)
                    < t.running
            ORDER BY w.tag, w.head_id LIMIT 1 FOR UPDATE OF w, j SKIP LOCKED
        ) h LIMIT 1;
    RETURN found;
END $$;

-- The head that is past its tier's bound for longest, of a user who is not noisy, locked.
CREATE FUNCTION generation.overdue_turn(
    p_pool text, p generation.policy, p_now timestamptz
) RETURNS generation.turn LANGUAGE plpgsql AS $$
DECLARE
    found generation.turn;
BEGIN
    SELECT t.tier, t.weight, t.running, t.bound, t.most, t.start, t.virtual_time, h.user_id,
            h.head_id, h.head_cost, h.tag, h.head_model, h.head_since INTO found
        FROM (
            SELECT r.tier, r.weight, r.running, make_interval(secs => r.bound) AS bound,
                o.share * p.use_seconds * 1000 AS most,
                greatest(c.finish_tag, k.virtual_time) AS start,
                coalesce(c.virtual_time, 0) AS virtual_time
            FROM generation.pool_clocks k
            CROSS JOIN unnest(p.tiers, p.weights, p.running, p.bounds)
                r (tier, weight, running, bound)
            LEFT JOIN generation.tier_clocks c ON c.pool = p_pool AND c.tier = r.tier
            LEFT JOIN generation.outlooks o ON o.pool = p_pool AND o.tier = r.tier
            WHERE k.pool = p_pool
        ) t CROSS JOIN LATERAL (
            SELECT w.* FROM generation.flows w JOIN generation.jobs j ON j.id = w.head_id
            WHERE w.pool = p_pool AND w.tier = t.tier AND w.head_id IS NOT NULL
                AND w.head_since < p_now - t.bound AND j.state = 'queued' AND j.due
                AND (w.head_expires IS NULL OR w.head_expires > p_now)
                AND (t.most IS NULL
                    OR generation.use_at(w.used, w.used_at, p_now, p.use_seconds) <= t.most)
                AND (SELECT count(*) FROM generation.leases l WHERE l.user_id = w.user_id)
                    < t.running
            ORDER BY w.head_since, w.head_id LIMIT 1 FOR UPDATE OF w, j SKIP LOCKED
        ) h ORDER BY h.head_since + t.bound, h.head_id LIMIT 1;
    RETURN found;
END $$;

-- The same turn for one of the next users behind it whose model is loaded, or null.
CREATE FUNCTION generation.loaded_turn(
    p_pool text, p generation.policy, behind generation.turn, p_loaded text[], p_now timestamptz
) RETURNS generation.turn LANGUAGE plpgsql AS $$
DECLARE
    found generation.turn := behind;
BEGIN
    SELECT w.user_id, w.head_id, w.head_cost, w.tag, w.head_model, w.head_since
        INTO found.user_id, found.job_id, found.cost, found.tag, found.model, found.since
        FROM (
            SELECT n.user_id, n.head_model, n.tag, n.head_id FROM generation.flows n
            WHERE n.pool = p_pool AND n.tier = behind.tier AND n.head_id IS NOT NULL
                AND (n.tag, n.head_id) > (behind.tag, behind.job_id)
                AND (n.head_expires IS NULL OR n.head_expires > p_now)
                AND (behind.most IS NULL
                    OR generation.use_at(n.used, n.used_at, p_now, p.use_seconds) <= behind.most)
                AND (SELECT count(*) FROM generation.leases l WHERE l.user_id = n.user_id)
                    < behind.running
            ORDER BY n.tag, n.head_id LIMIT p.affinity_depth
        ) near
        JOIN generation.flows w ON w.user_id = near.user_id AND w.pool = p_pool
            AND w.tier = behind.tier
        JOIN generation.jobs j ON j.id = w.head_id
        WHERE near.head_model = ANY (p_loaded) AND j.state = 'queued' AND j.due
        ORDER BY near.tag, near.head_id LIMIT 1 FOR UPDATE OF w, j SKIP LOCKED;
    RETURN found;
END $$;

-- Take a head: a lease for the worker, the user's next job is the head, and the clocks move.
CREATE FUNCTION generation.take_turn(
    p_pool text, p generation.policy, t generation.turn, p_moves_tiers boolean,
    p_moves_users boolean, p_worker text, p_now timestamptz
) RETURNS SETOF generation.jobs LANGUAGE plpgsql AS $$
DECLARE
    user_start double precision := greatest(t.tag, t.virtual_time);
BEGIN
    RETURN QUERY WITH job AS (
        UPDATE generation.jobs SET state = 'running', attempt = attempt + 1, worker = p_worker,
            started_at = coalesce(started_at, p_now), marks = marks || jsonb_build_object(
                'name', 'claimed', 'at', p_now, 'attempt', attempt + 1)
        WHERE id = t.job_id RETURNING *
    ), lease AS (
        INSERT INTO generation.leases (job_id, user_id, pool, tier, attempt, worker, until)
        SELECT j.id, j.user_id, j.pool, j.tier, j.attempt, p_worker,
            p_now + make_interval(secs => p.lease_seconds) FROM job j
    ), tier AS (
        INSERT INTO generation.tier_clocks AS c (pool, tier, finish_tag, virtual_time, served_at)
        VALUES (p_pool, t.tier, t.start + t.cost / t.weight::double precision,
            CASE WHEN p_moves_users THEN user_start ELSE t.virtual_time END, p_now)
        ON CONFLICT (pool, tier) DO UPDATE SET finish_tag = excluded.finish_tag,
            virtual_time = excluded.virtual_time, served_at = excluded.served_at
    ), pool AS (
        UPDATE generation.pool_clocks c SET dispatches = dispatches + 1,
            virtual_time = CASE WHEN p_moves_tiers THEN t.start ELSE c.virtual_time END
        WHERE c.pool = p_pool
    ), flow AS (
        UPDATE generation.flows f SET tag = user_start + t.cost, used_at = p_now,
            used = generation.use_at(f.used, f.used_at, p_now, p.use_seconds) + t.cost,
            head_id = n.id, head_model = n.model, head_cost = n.quoted_millicredits,
            head_since = n.created_at, head_expires = n.expires_at
        FROM (SELECT) one LEFT JOIN LATERAL (
            SELECT * FROM generation.jobs j
            WHERE j.user_id = t.user_id AND j.pool = p_pool AND j.tier = t.tier
                AND j.state = 'queued' AND j.due AND j.id <> t.job_id
            ORDER BY j.id LIMIT 1
        ) n ON true
        WHERE f.user_id = t.user_id AND f.pool = p_pool AND f.tier = t.tier
    ) SELECT * FROM job;
END $$;

-- Claim the job of a pool whose turn it is; no row if nobody may start. One claim of a pool at a time.
-- A place or a job that somebody is changing is passed over: the change is followed by a wake-up.
-- The commit does not wait for the disk: a claim that a crash of the server loses has left its job
-- queued, and its worker finds that it has no lease.
CREATE FUNCTION generation.claim_job(
    p_pool text, p_worker text, p_loaded text[], p generation.policy, p_now timestamptz
) RETURNS SETOF generation.jobs LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    n bigint;
    t generation.turn;
    near generation.turn;
    moves_tiers boolean := false;
    moves_users boolean := true;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('claim/' || p_pool, 0));
    SELECT k.dispatches + 1 INTO n FROM generation.pool_clocks k WHERE k.pool = p_pool;
    IF n % p.unserved_every = 0 THEN
        t := generation.next_turn(p_pool, p, true, false, p_now);
        IF t.job_id IS NULL THEN
            t := generation.next_turn(p_pool, p, true, true, p_now);
        END IF;
    END IF;
    IF t.job_id IS NULL AND n % p.overdue_every = 0 THEN
        t := generation.overdue_turn(p_pool, p, p_now);
        moves_users := t.job_id IS NULL;
    END IF;
    IF t.job_id IS NULL THEN
        moves_tiers := true;
        t := generation.next_turn(p_pool, p, false, false, p_now);
        IF t.job_id IS NULL THEN
            t := generation.next_turn(p_pool, p, false, true, p_now);
        ELSIF p_loaded <> '{}' AND t.model <> ALL (p_loaded)
            AND p_now - t.since < make_interval(secs => p.affinity_seconds)
        THEN
            near := generation.loaded_turn(p_pool, p, t, p_loaded, p_now);
            IF near.job_id IS NOT NULL THEN
                t := near;
                moves_users := false;
            END IF;
        END IF;
    END IF;
    IF t.job_id IS NOT NULL THEN
        RETURN QUERY SELECT * FROM generation.take_turn(
            p_pool, p, t, moves_tiers, moves_users, p_worker, p_now);
    END IF;
END $$;

-- A job that has ended used less than it was charged: its user and its tier get the rest back. The
-- last statement of its transaction, since claims wait for the tier's clock.
CREATE FUNCTION generation.give_back(
    p_user uuid, p_pool text, p_tier text, p_weight int, p_unused bigint
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE generation.flows SET tag = tag - p_unused, used = greatest(0, used - p_unused)
        WHERE user_id = p_user AND pool = p_pool AND tier = p_tier;
    UPDATE generation.tier_clocks
        SET finish_tag = finish_tag - p_unused / p_weight::double precision
        WHERE pool = p_pool AND tier = p_tier;
END $$;

-- What waits already has its place.
INSERT INTO generation.flows (pool, tier, user_id, head_id, head_model, head_cost, head_since,
        head_expires)
    SELECT DISTINCT ON (user_id, pool, tier) pool, tier, user_id, id, model, quoted_millicredits,
        created_at, expires_at
    FROM generation.jobs WHERE state = 'queued' AND due ORDER BY user_id, pool, tier, id;
