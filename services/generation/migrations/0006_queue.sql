-- The order of service, durable and indexed: `libs/tiers/fair_queue.py` says what it decides and why,
-- and a test runs both on the same histories. Choosing costs the same for ten waiting jobs and for a
-- million: it reads a few places of the index of users, never the jobs.

ALTER TABLE generation.jobs
    ADD COLUMN due boolean NOT NULL DEFAULT true,
    ADD COLUMN marks jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN generation.jobs.due IS 'false while it rests until due_at';
COMMENT ON COLUMN generation.jobs.marks IS 'moments of its life: [{"name", "at", ...}]';
UPDATE generation.jobs SET due = false WHERE state = 'queued' AND due_at > now();

DROP INDEX generation.ix_jobs_queued, generation.ix_jobs_lease;
CREATE INDEX ix_jobs_queued ON generation.jobs (user_id, pool, tier, id)
    WHERE state = 'queued' AND due;
CREATE INDEX ix_jobs_resting ON generation.jobs (due_at) WHERE state = 'queued' AND NOT due;

-- A user's place in the queue of a tier. `tag` is the virtual time at which the user's next job
-- starts; the head is the user's oldest due job, and nobody's when `head_id` is null.
CREATE TABLE generation.flows (
    pool text NOT NULL,
    tier text NOT NULL,
    user_id uuid NOT NULL,
    tag double precision NOT NULL DEFAULT 0,
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
-- else. (attempt, worker) is the fence.
CREATE TABLE generation.leases (
    job_id uuid PRIMARY KEY REFERENCES generation.jobs ON DELETE CASCADE,
    user_id uuid NOT NULL,
    pool text NOT NULL,
    tier text NOT NULL,
    attempt integer NOT NULL,
    worker text NOT NULL,
    until timestamptz NOT NULL,
    cancel_requested boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
CREATE INDEX ix_leases_user_id ON generation.leases (user_id);
INSERT INTO generation.leases
    SELECT id, user_id, pool, tier, attempt, worker, lease_until, cancel_requested
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

-- The queue as the relay sees it once a second; `share` is what one user of a tier may have in
-- flight before others come first.
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

-- The user's next job becomes the head. The caller has locked the flow.
CREATE FUNCTION generation.move_head(p_pool text, p_tier text, p_user uuid, p_tag double precision)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    next record;
BEGIN
    SELECT j.id, j.model, j.quoted_millicredits, j.created_at, j.expires_at INTO next
        FROM generation.jobs j
        WHERE j.user_id = p_user AND j.pool = p_pool AND j.tier = p_tier AND j.state = 'queued'
            AND j.due
        ORDER BY j.id LIMIT 1;
    UPDATE generation.flows f SET tag = coalesce(p_tag, f.tag), head_id = next.id,
            head_model = next.model, head_cost = next.quoted_millicredits,
            head_since = next.created_at, head_expires = next.expires_at
        WHERE f.user_id = p_user AND f.pool = p_pool AND f.tier = p_tier;
END $$;

CREATE FUNCTION generation.leave_queue(job generation.jobs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM generation.flows f WHERE f.user_id = job.user_id AND f.pool = job.pool
        AND f.tier = job.tier AND f.head_id = job.id FOR UPDATE;
    IF FOUND THEN
        PERFORM generation.move_head(job.pool, job.tier, job.user_id, NULL);
    END IF;
END $$;

-- Whatever changes a job: the flows say who waits, the leases what runs, and no state is left by a
-- way that does not exist. A claim moves its flow itself.
CREATE FUNCTION generation.keep_queue() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET enable_bitmapscan = off AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM generation.enter_queue(NEW);
        RETURN NULL;
    END IF;
    IF OLD.state = 'running' AND NEW.state <> 'running' THEN
        DELETE FROM generation.leases WHERE job_id = OLD.id;
    END IF;
    IF OLD.state = 'queued' AND OLD.due AND NEW.state <> 'running' THEN
        PERFORM generation.leave_queue(OLD);
    END IF;
    IF NEW.state = 'queued' AND NEW.due THEN
        PERFORM generation.enter_queue(NEW);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER enter_queue AFTER INSERT ON generation.jobs FOR EACH ROW
    WHEN (NEW.state = 'queued' AND NEW.due) EXECUTE FUNCTION generation.keep_queue();
CREATE TRIGGER keep_queue AFTER UPDATE OF state, due, pool, tier ON generation.jobs FOR EACH ROW
    WHEN ((OLD.state, OLD.due, OLD.pool, OLD.tier) IS DISTINCT FROM (NEW.state, NEW.due, NEW.pool, NEW.tier)
        AND NOT (OLD.state = 'queued' AND NEW.state = 'running'))
    EXECUTE FUNCTION generation.keep_queue();

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

-- What the next three functions share: one tier in the order of its turn.
CREATE TYPE generation.tier_turn AS (
    tier text, weight int, running int, bound interval, share double precision,
    start double precision, virtual_time double precision
);

-- The tiers of a pool, the one whose turn it is first.
CREATE FUNCTION generation.tier_turns(
    p_pool text, p_now_tag double precision, p_tiers text[], p_weights int[], p_running int[],
    p_bounds double precision[]
) RETURNS generation.tier_turn[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN array_agg(r ORDER BY r.start, r.weight DESC) FROM (
        SELECT p.tier, p.weight, p.running, make_interval(secs => p.bound),
            greatest(1, coalesce(o.share, 1)), greatest(c.finish_tag, p_now_tag) AS start,
            coalesce(c.virtual_time, 0)
        FROM unnest(p_tiers, p_weights, p_running, p_bounds) p (tier, weight, running, bound)
        LEFT JOIN generation.tier_clocks c ON c.pool = p_pool AND c.tier = p.tier
        LEFT JOIN generation.outlooks o ON o.pool = p_pool AND o.tier = p.tier
    ) r;
END $$;

-- The head that is past its tier's bound for longest, of a user within the share; locked.
CREATE FUNCTION generation.overdue_flow(
    p_pool text, turns generation.tier_turn[], p_now timestamptz
) RETURNS generation.flows LANGUAGE plpgsql AS $$
DECLARE
    t generation.tier_turn;
    f generation.flows;
    found generation.flows;
    found_due timestamptz;
BEGIN
    FOREACH t IN ARRAY turns LOOP
        SELECT w.* INTO f FROM generation.flows w JOIN generation.jobs j ON j.id = w.head_id
            WHERE w.pool = p_pool AND w.tier = t.tier AND w.head_id IS NOT NULL
                AND w.head_since < p_now - t.bound
                AND (w.head_expires IS NULL OR w.head_expires > p_now)
                AND (SELECT count(*) FROM generation.leases l WHERE l.user_id = w.user_id)
                    < least(t.running, t.share)
            ORDER BY w.head_since, w.head_id LIMIT 1 FOR UPDATE OF w, j SKIP LOCKED;
        IF f.head_id IS NOT NULL
            AND (found_due IS NULL OR (f.head_since + t.bound, f.head_id) < (found_due, found.head_id))
        THEN
            found := f;
            found_due := f.head_since + t.bound;
        END IF;
    END LOOP;
    RETURN found;
END $$;

-- The first head of a tier that may start now, of a user within the share or of one beyond it (which
-- only users with a job in flight can be); locked. A place that somebody is changing is passed over:
-- the change is followed by a wake-up.
CREATE FUNCTION generation.first_flow(
    p_pool text, t generation.tier_turn, p_noisy boolean, p_now timestamptz
) RETURNS generation.flows LANGUAGE plpgsql AS $$
DECLARE
    f generation.flows;
BEGIN
    IF p_noisy THEN
        SELECT w.* INTO f FROM (
            SELECT l.user_id FROM generation.leases l GROUP BY l.user_id
            HAVING count(*) >= t.share AND count(*) < t.running
        ) busy
        JOIN generation.flows w ON w.user_id = busy.user_id AND w.pool = p_pool AND w.tier = t.tier
        JOIN generation.jobs j ON j.id = w.head_id
        WHERE w.head_expires IS NULL OR w.head_expires > p_now
        ORDER BY w.tag, w.head_id LIMIT 1 FOR UPDATE OF w, j SKIP LOCKED;
    ELSE
        SELECT w.* INTO f FROM generation.flows w JOIN generation.jobs j ON j.id = w.head_id
        WHERE w.pool = p_pool AND w.tier = t.tier AND w.head_id IS NOT NULL
            AND (w.head_expires IS NULL OR w.head_expires > p_now)
            AND (SELECT count(*) FROM generation.leases l WHERE l.user_id = w.user_id)
                < least(t.running, t.share)
        ORDER BY w.tag, w.head_id LIMIT 1 FOR UPDATE OF w, j SKIP LOCKED;
    END IF;
    RETURN f;
END $$;

-- The first of the next places behind a head whose model is loaded; locked.
CREATE FUNCTION generation.loaded_flow(
    behind generation.flows, t generation.tier_turn, p_now timestamptz, p_loaded text[],
    p_depth int
) RETURNS generation.flows LANGUAGE plpgsql AS $$
DECLARE
    f generation.flows;
BEGIN
    SELECT w.* INTO f FROM (
        SELECT n.user_id, n.head_model, n.tag, n.head_id FROM generation.flows n
        WHERE n.pool = behind.pool AND n.tier = behind.tier AND n.head_id IS NOT NULL
            AND (n.tag, n.head_id) > (behind.tag, behind.head_id)
            AND (n.head_expires IS NULL OR n.head_expires > p_now)
            AND (SELECT count(*) FROM generation.leases l WHERE l.user_id = n.user_id)
                < least(t.running, t.share)
        ORDER BY n.tag, n.head_id LIMIT p_depth
    ) near
    JOIN generation.flows w ON w.user_id = near.user_id AND w.pool = behind.pool
        AND w.tier = behind.tier
    JOIN generation.jobs j ON j.id = w.head_id
    WHERE near.head_model = ANY (p_loaded)
    ORDER BY near.tag, near.head_id LIMIT 1 FOR UPDATE OF w, j SKIP LOCKED;
    RETURN f;
END $$;

-- Take the head of a chosen flow: a lease for the worker, and the clocks move on.
CREATE FUNCTION generation.take_head(
    flow generation.flows, t generation.tier_turn, p_moves_tiers boolean, p_moves_users boolean,
    p_worker text, p_lease_seconds int, p_now timestamptz
) RETURNS SETOF generation.jobs LANGUAGE plpgsql AS $$
DECLARE
    user_start double precision := greatest(flow.tag, t.virtual_time);
    job generation.jobs;
BEGIN
    UPDATE generation.jobs SET state = 'running', attempt = attempt + 1, worker = p_worker,
            started_at = coalesce(started_at, p_now), marks = marks || jsonb_build_object(
                'name', 'claimed', 'at', p_now, 'attempt', attempt + 1)
        WHERE id = flow.head_id RETURNING * INTO job;
    INSERT INTO generation.leases (job_id, user_id, pool, tier, attempt, worker, until)
        VALUES (job.id, job.user_id, job.pool, job.tier, job.attempt, p_worker,
            p_now + make_interval(secs => p_lease_seconds));
    PERFORM generation.move_head(flow.pool, flow.tier, flow.user_id, user_start + flow.head_cost);
    INSERT INTO generation.tier_clocks AS c (pool, tier, finish_tag, virtual_time)
        VALUES (flow.pool, flow.tier, t.start + flow.head_cost / t.weight::double precision,
            CASE WHEN p_moves_users THEN user_start ELSE t.virtual_time END)
        ON CONFLICT (pool, tier) DO UPDATE
        SET finish_tag = excluded.finish_tag, virtual_time = excluded.virtual_time;
    UPDATE generation.pool_clocks c SET dispatches = dispatches + 1,
            virtual_time = CASE WHEN p_moves_tiers THEN t.start ELSE c.virtual_time END
        WHERE c.pool = flow.pool;
    RETURN NEXT job;
END $$;

-- Claim the job of a pool whose turn it is; no row if nobody is eligible. One claim of a pool at a
-- time. The commit does not wait for the disk: a claim that a crash of the server loses has left its
-- job queued, and its worker finds that it has no lease.
CREATE FUNCTION generation.claim_job(
    p_pool text, p_worker text, p_loaded text[], p_tiers text[], p_weights int[], p_running int[],
    p_bounds double precision[], p_overdue_every int, p_noisy_every int,
    p_affinity_seconds double precision, p_affinity_depth int, p_lease_seconds int,
    p_now timestamptz
) RETURNS SETOF generation.jobs LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    clock generation.pool_clocks;
    turns generation.tier_turn[];
    t generation.tier_turn;
    f generation.flows;
    near generation.flows;
    noisy_first boolean;
    noisy boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('claim/' || p_pool, 0));
    SELECT * INTO clock FROM generation.pool_clocks c WHERE c.pool = p_pool;
    turns := generation.tier_turns(
        p_pool, clock.virtual_time, p_tiers, p_weights, p_running, p_bounds);
    IF (clock.dispatches + 1) % p_overdue_every = 0 THEN
        f := generation.overdue_flow(p_pool, turns, p_now);
        IF f.head_id IS NOT NULL THEN
            SELECT * INTO t FROM unnest(turns) u WHERE u.tier = f.tier;
            RETURN QUERY SELECT * FROM generation.take_head(
                f, t, false, false, p_worker, p_lease_seconds, p_now);
            RETURN;
        END IF;
    END IF;
    noisy_first := (clock.dispatches + 1) % p_noisy_every = 0;
    FOREACH noisy IN ARRAY ARRAY[noisy_first, NOT noisy_first] LOOP
        FOREACH t IN ARRAY turns LOOP
            f := generation.first_flow(p_pool, t, noisy, p_now);
            CONTINUE WHEN f.head_id IS NULL;
            IF NOT noisy AND p_loaded <> '{}' AND f.head_model <> ALL (p_loaded)
                AND p_now - f.head_since < make_interval(secs => p_affinity_seconds)
            THEN
                near := generation.loaded_flow(f, t, p_now, p_loaded, p_affinity_depth);
            END IF;
            RETURN QUERY SELECT * FROM generation.take_head(
                CASE WHEN near.head_id IS NULL THEN f ELSE near END, t,
                NOT (noisy AND noisy_first), near.head_id IS NULL, p_worker, p_lease_seconds, p_now);
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
    UPDATE generation.flows SET tag = tag - p_unused
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
