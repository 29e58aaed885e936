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
CREATE FUNCTION generation.enter_queue() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO generation.flows AS f (pool, tier, user_id, tag, head_id, head_model, head_cost,
            head_since, head_expires)
        VALUES (NEW.pool, NEW.tier, NEW.user_id, coalesce((SELECT c.virtual_time
                FROM generation.tier_clocks c WHERE c.pool = NEW.pool AND c.tier = NEW.tier), 0),
            NEW.id, NEW.model, NEW.quoted_millicredits, NEW.created_at, NEW.expires_at)
        ON CONFLICT (user_id, pool, tier) DO UPDATE SET
            tag = CASE WHEN f.head_id IS NULL THEN greatest(f.tag, excluded.tag) ELSE f.tag END,
            head_id = excluded.head_id, head_model = excluded.head_model,
            head_cost = excluded.head_cost, head_since = excluded.head_since,
            head_expires = excluded.head_expires
        WHERE f.head_id IS NULL OR excluded.head_id < f.head_id;
    RETURN NULL;
END $$;

-- A waiting job has gone other than by a claim: if it was the user's head, the next one is.
CREATE FUNCTION generation.leave_queue() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM generation.flows f WHERE f.user_id = OLD.user_id AND f.pool = OLD.pool
        AND f.tier = OLD.tier AND f.head_id = OLD.id FOR UPDATE;
    IF FOUND THEN
        UPDATE generation.flows f SET head_id = n.id, head_model = n.model,
                head_cost = n.quoted_millicredits, head_since = n.created_at,
                head_expires = n.expires_at
            FROM (SELECT) one LEFT JOIN LATERAL generation.next_job(
                OLD.user_id, OLD.pool, OLD.tier) n ON true
            WHERE f.user_id = OLD.user_id AND f.pool = OLD.pool AND f.tier = OLD.tier;
    END IF;
    RETURN NULL;
END $$;

-- A job is not in flight any more.
CREATE FUNCTION generation.end_lease() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM generation.leases WHERE user_id = OLD.user_id AND job_id = OLD.id;
    RETURN NULL;
END $$;

-- Whatever changes a job, its place and its lease follow. A claim moves the place itself. The names
-- give the order: a job that changes its queue leaves before it enters.
CREATE TRIGGER a_enter_queue_new AFTER INSERT ON generation.jobs FOR EACH ROW
    WHEN (NEW.state = 'queued' AND NEW.due) EXECUTE FUNCTION generation.enter_queue();
CREATE TRIGGER b_end_lease AFTER UPDATE OF state ON generation.jobs FOR EACH ROW
    WHEN (OLD.state = 'running' AND NEW.state <> 'running')
    EXECUTE FUNCTION generation.end_lease();
CREATE TRIGGER c_leave_queue AFTER UPDATE OF state, due, pool, tier ON generation.jobs FOR EACH ROW
    WHEN (OLD.state = 'queued' AND OLD.due AND NEW.state <> 'running'
        AND (NEW.state, NEW.due, NEW.pool, NEW.tier) <> (OLD.state, OLD.due, OLD.pool, OLD.tier))
    EXECUTE FUNCTION generation.leave_queue();
CREATE TRIGGER d_enter_queue AFTER UPDATE OF state, due, pool, tier ON generation.jobs FOR EACH ROW
    WHEN (NEW.state = 'queued' AND NEW.due
        AND (NEW.state, NEW.due, NEW.pool, NEW.tier) <> (OLD.state, OLD.due, OLD.pool, OLD.tier))
    EXECUTE FUNCTION generation.enter_queue();

-- queued -> running -> an end, or back; failed -> queued is an operator's requeue.
CREATE FUNCTION generation.refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a job that is % cannot become %', OLD.state, NEW.state
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER refuse_transition BEFORE UPDATE OF state ON generation.jobs FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND NOT CASE OLD.state
        WHEN 'queued' THEN NEW.state IN ('running', 'cancelled', 'expired')
        WHEN 'running' THEN NEW.state IN ('queued', 'succeeded', 'partial', 'failed', 'cancelled')
        WHEN 'failed' THEN NEW.state = 'queued'
        ELSE false END)
    EXECUTE FUNCTION generation.refuse_transition();

-- A user's oldest due job.
CREATE FUNCTION generation.next_job(p_user uuid, p_pool text, p_tier text)
RETURNS SETOF generation.jobs LANGUAGE sql STABLE AS $$
    SELECT * FROM generation.jobs j
    WHERE j.user_id = p_user AND j.pool = p_pool AND j.tier = p_tier AND j.state = 'queued'
        AND j.due
    ORDER BY j.id LIMIT 1
$$;

-- One tier of a pool in the order of its turn.
CREATE TYPE generation.tier_turn AS (
    tier text, weight int, running int, bound interval, most double precision,
    start double precision, virtual_time double precision, served_at timestamptz, unserved boolean
);

-- What is not forgotten yet of a user's milli-credits; `p_seconds` is the time constant.
CREATE FUNCTION generation.use_at(
    p_used double precision, p_used_at timestamptz, p_now timestamptz, p_seconds double precision
) RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_used = 0 THEN 0
        ELSE p_used * exp(extract(epoch FROM p_used_at - p_now)::float8 / p_seconds) END
$$;

-- The first head of a tier that may start now: in time, of a user below the running limit and, unless
-- noisy users are asked for, of one who has not had more than the share. Locked with its job.
CREATE FUNCTION generation.first_head(
    p_pool text, t generation.tier_turn, p_noisy boolean, p_now timestamptz,
    p_use_seconds double precision
) RETURNS generation.flows LANGUAGE plpgsql AS $$
DECLARE
    f generation.flows;
BEGIN
    SELECT w.* INTO f FROM generation.flows w JOIN generation.jobs j ON j.id = w.head_id
        WHERE w.pool = p_pool AND w.tier = t.tier AND w.head_id IS NOT NULL
            AND j.state = 'queued' AND j.due
            AND (w.head_expires IS NULL OR w.head_expires > p_now)
            AND (p_noisy OR t.most IS NULL
                OR generation.use_at(w.used, w.used_at, p_now, p_use_seconds) <= t.most)
            AND (SELECT count(*) FROM generation.leases l WHERE l.user_id = w.user_id) < t.running
        ORDER BY w.tag, w.head_id LIMIT 1 FOR UPDATE OF w, j SKIP LOCKED;
    RETURN f;
END $$;

-- The head of a tier that is past the tier's bound for longest, of a user who is not noisy.
CREATE FUNCTION generation.overdue_head(
    p_pool text, t generation.tier_turn, p_now timestamptz, p_use_seconds double precision
) RETURNS generation.flows LANGUAGE plpgsql AS $$
DECLARE
    f generation.flows;
BEGIN
    SELECT w.* INTO f FROM generation.flows w JOIN generation.jobs j ON j.id = w.head_id
        WHERE w.pool = p_pool AND w.tier = t.tier AND w.head_id IS NOT NULL
            AND w.head_since < p_now - t.bound AND j.state = 'queued' AND j.due
            AND (w.head_expires IS NULL OR w.head_expires > p_now)
            AND (t.most IS NULL
                OR generation.use_at(w.used, w.used_at, p_now, p_use_seconds) <= t.most)
            AND (SELECT count(*) FROM generation.leases l WHERE l.user_id = w.user_id) < t.running
        ORDER BY w.head_since, w.head_id LIMIT 1 FOR UPDATE OF w, j SKIP LOCKED;
    RETURN f;
END $$;

-- The first of the next places behind a head whose model is loaded.
CREATE FUNCTION generation.loaded_head(
    behind generation.flows, t generation.tier_turn, p_now timestamptz,
    p_use_seconds double precision, p_loaded text[], p_depth int
) RETURNS generation.flows LANGUAGE plpgsql AS $$
DECLARE
    f generation.flows;
BEGIN
    SELECT w.* INTO f FROM (
        SELECT n.user_id, n.head_model, n.tag, n.head_id FROM generation.flows n
        WHERE n.pool = behind.pool AND n.tier = behind.tier AND n.head_id IS NOT NULL
            AND (n.tag, n.head_id) > (behind.tag, behind.head_id)
            AND (n.head_expires IS NULL OR n.head_expires > p_now)
            AND (t.most IS NULL
                OR generation.use_at(n.used, n.used_at, p_now, p_use_seconds) <= t.most)
            AND (SELECT count(*) FROM generation.leases l WHERE l.user_id = n.user_id) < t.running
        ORDER BY n.tag, n.head_id LIMIT p_depth
    ) near
    JOIN generation.flows w ON w.user_id = near.user_id AND w.pool = behind.pool
        AND w.tier = behind.tier
    JOIN generation.jobs j ON j.id = w.head_id
    WHERE near.head_model = ANY (p_loaded) AND j.state = 'queued' AND j.due
    ORDER BY near.tag, near.head_id LIMIT 1 FOR UPDATE OF w, j SKIP LOCKED;
    RETURN f;
END $$;

-- A turn of its own for the tier that was not served for longest, if that is long.
CREATE FUNCTION generation.unserved_head(
    p_pool text, p_turns generation.tier_turn[], p_now timestamptz, p_use_seconds double precision
) RETURNS generation.flows LANGUAGE plpgsql AS $$
DECLARE
    t generation.tier_turn;
    f generation.flows;
    noisy boolean;
BEGIN
    FOREACH noisy IN ARRAY ARRAY[false, true] LOOP
        FOR t IN SELECT u.* FROM unnest(p_turns) u WHERE u.unserved
                ORDER BY u.served_at, u.weight DESC LOOP
            f := generation.first_head(p_pool, t, noisy, p_now, p_use_seconds);
            IF f.head_id IS NOT NULL THEN RETURN f; END IF;
        END LOOP;
    END LOOP;
    RETURN NULL;
END $$;

-- A turn of its own for the job of a pool that is past its tier's bound for longest.
CREATE FUNCTION generation.most_overdue_head(
    p_pool text, p_turns generation.tier_turn[], p_now timestamptz, p_use_seconds double precision
) RETURNS generation.flows LANGUAGE plpgsql AS $$
DECLARE
    t generation.tier_turn;
    f generation.flows;
    most generation.flows;
    most_due timestamptz;
BEGIN
    FOREACH t IN ARRAY p_turns LOOP
        f := generation.overdue_head(p_pool, t, p_now, p_use_seconds);
        IF f.head_id IS NOT NULL AND (most_due IS NULL
            OR (f.head_since + t.bound, f.head_id) < (most_due, most.head_id))
        THEN
            most := f;
            most_due := f.head_since + t.bound;
        END IF;
    END LOOP;
    RETURN most;
END $$;

-- Take a chosen head: a lease for the worker, the user's next job is the head, and the clocks move.
CREATE FUNCTION generation.take_head(
    head generation.flows, t generation.tier_turn, p_moves_tiers boolean, p_moves_users boolean,
    p_worker text, p_lease_seconds int, p_use_seconds double precision, p_now timestamptz
) RETURNS SETOF generation.jobs LANGUAGE plpgsql AS $$
DECLARE
    user_start double precision := greatest(head.tag, t.virtual_time);
BEGIN
    RETURN QUERY WITH job AS (
        UPDATE generation.jobs SET state = 'running', attempt = attempt + 1, worker = p_worker,
            started_at = coalesce(started_at, p_now), marks = marks || jsonb_build_object(
                'name', 'claimed', 'at', p_now, 'attempt', attempt + 1)
        WHERE id = head.head_id RETURNING *
    ), lease AS (
        INSERT INTO generation.leases (job_id, user_id, pool, tier, attempt, worker, until)
        SELECT j.id, j.user_id, j.pool, j.tier, j.attempt, p_worker,
            p_now + make_interval(secs => p_lease_seconds) FROM job j
    ), tier AS (
        INSERT INTO generation.tier_clocks AS c (pool, tier, finish_tag, virtual_time, served_at)
        VALUES (head.pool, head.tier, t.start + head.head_cost / t.weight::double precision,
            CASE WHEN p_moves_users THEN user_start ELSE t.virtual_time END, p_now)
        ON CONFLICT (pool, tier) DO UPDATE SET finish_tag = excluded.finish_tag,
            virtual_time = excluded.virtual_time, served_at = excluded.served_at
    ), pool AS (
        UPDATE generation.pool_clocks c SET dispatches = dispatches + 1,
            virtual_time = CASE WHEN p_moves_tiers THEN t.start ELSE c.virtual_time END
        WHERE c.pool = head.pool
    ), flow AS (
        UPDATE generation.flows f SET tag = user_start + head.head_cost, used_at = p_now,
            used = generation.use_at(f.used, f.used_at, p_now, p_use_seconds) + head.head_cost,
            head_id = n.id, head_model = n.model, head_cost = n.quoted_millicredits,
            head_since = n.created_at, head_expires = n.expires_at
        FROM (SELECT) one LEFT JOIN LATERAL (
            SELECT * FROM generation.jobs j
            WHERE j.user_id = head.user_id AND j.pool = head.pool AND j.tier = head.tier
                AND j.state = 'queued' AND j.due AND j.id <> head.head_id
            ORDER BY j.id LIMIT 1
        ) n ON true
        WHERE f.user_id = head.user_id AND f.pool = head.pool AND f.tier = head.tier
    ) SELECT * FROM job;
END $$;

-- Claim the job of a pool whose turn it is; no row if nobody may start. One claim of a pool at a time.
-- A place or a job that somebody is changing is passed over: the change is followed by a wake-up.
-- The commit does not wait for the disk: a claim that a crash of the server loses has left its job
-- queued, and its worker finds that it has no lease. The numbers: libs/tiers/fair_rules.py.
CREATE FUNCTION generation.claim_job(
    p_pool text, p_worker text, p_loaded text[], p_tiers text[], p_weights int[], p_running int[],
    p_bounds double precision[], p_overdue_every int, p_unserved_every int,
    p_unserved_seconds double precision, p_use_seconds double precision,
    p_affinity_seconds double precision, p_affinity_depth int, p_lease_seconds int,
    p_now timestamptz
) RETURNS SETOF generation.jobs LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    clock generation.pool_clocks;
    turns generation.tier_turn[];
    t generation.tier_turn;
    head generation.flows;
    near generation.flows;
    noisy boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('claim/' || p_pool, 0));
    SELECT * INTO clock FROM generation.pool_clocks k WHERE k.pool = p_pool;
    SELECT array_agg(r ORDER BY r.start, r.weight DESC) INTO turns FROM (
        SELECT p.tier, p.weight, p.running, make_interval(secs => p.bound),
            o.share * p_use_seconds * 1000, greatest(k.finish_tag, clock.virtual_time) AS start,
            coalesce(k.virtual_time, 0), coalesce(k.served_at, '-infinity'),
            coalesce(k.served_at < p_now - make_interval(secs => p_unserved_seconds), true)
        FROM unnest(p_tiers, p_weights, p_running, p_bounds) p (tier, weight, running, bound)
        LEFT JOIN generation.tier_clocks k ON k.pool = p_pool AND k.tier = p.tier
        LEFT JOIN generation.outlooks o ON o.pool = p_pool AND o.tier = p.tier
    ) r;
    IF (clock.dispatches + 1) % p_unserved_every = 0 THEN
        head := generation.unserved_head(p_pool, turns, p_now, p_use_seconds);
    END IF;
    IF head.head_id IS NOT NULL THEN
        SELECT u.* INTO t FROM unnest(turns) u WHERE u.tier = head.tier;
        RETURN QUERY SELECT * FROM generation.take_head(
            head, t, false, true, p_worker, p_lease_seconds, p_use_seconds, p_now);
        RETURN;
    END IF;
    IF (clock.dispatches + 1) % p_overdue_every = 0 THEN
        head := generation.most_overdue_head(p_pool, turns, p_now, p_use_seconds);
    END IF;
    IF head.head_id IS NOT NULL THEN
        SELECT u.* INTO t FROM unnest(turns) u WHERE u.tier = head.tier;
        RETURN QUERY SELECT * FROM generation.take_head(
            head, t, false, false, p_worker, p_lease_seconds, p_use_seconds, p_now);
        RETURN;
    END IF;
    FOREACH noisy IN ARRAY ARRAY[false, true] LOOP
        FOREACH t IN ARRAY turns LOOP
            head := generation.first_head(p_pool, t, noisy, p_now, p_use_seconds);
            CONTINUE WHEN head.head_id IS NULL;
            IF NOT noisy AND p_loaded <> '{}' AND head.head_model <> ALL (p_loaded)
                AND p_now - head.head_since < make_interval(secs => p_affinity_seconds)
            THEN
                near := generation.loaded_head(
                    head, t, p_now, p_use_seconds, p_loaded, p_affinity_depth);
            END IF;
            RETURN QUERY SELECT * FROM generation.take_head(
                CASE WHEN near.head_id IS NULL THEN head ELSE near END, t, true,
                near.head_id IS NULL, p_worker, p_lease_seconds, p_use_seconds, p_now);
            RETURN;
        END LOOP;
    END LOOP;
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
