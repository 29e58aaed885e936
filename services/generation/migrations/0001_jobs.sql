-- The queue of record. Celery and Redis carry wake-ups and progress; what is to be done, by whom
-- and under which fencing number stands here alone.
CREATE TABLE generation.jobs (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    tier text NOT NULL,
    pool text NOT NULL,
    model text NOT NULL,
    base text NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (
        state IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled', 'expired')
    ),
    request jsonb NOT NULL,
    quoted_millicredits bigint NOT NULL CHECK (quoted_millicredits > 0),
    captured_millicredits bigint CHECK (captured_millicredits BETWEEN 0 AND quoted_millicredits),
    attempt integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    worker text,
    lease_until timestamptz,
    cancel_requested boolean NOT NULL DEFAULT false,
    images_done smallint NOT NULL DEFAULT 0,
    error jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK ((state IN ('queued', 'running')) = (finished_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX ix_jobs_user_id ON generation.jobs (user_id, id DESC);
CREATE INDEX ix_jobs_queued ON generation.jobs (pool, tier, user_id, id) WHERE state = 'queued';
CREATE INDEX ix_jobs_running ON generation.jobs (user_id) WHERE state = 'running';
CREATE INDEX ix_jobs_lease ON generation.jobs (lease_until) WHERE state = 'running';
CREATE INDEX ix_jobs_deadline ON generation.jobs (expires_at)
    WHERE state = 'queued' AND expires_at IS NOT NULL;
CREATE INDEX ix_jobs_finished ON generation.jobs (pool, finished_at)
    WHERE state IN ('succeeded', 'partial');

-- Virtual clocks of start-time fair queueing (Goyal, Vin, Cheng 1996), in GPU-milliseconds. The
-- row of a pool is also the lock under which the next job of that pool is chosen.
CREATE TABLE generation.pool_clocks (
    pool text PRIMARY KEY,
    virtual_time numeric NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE generation.tier_clocks (
    pool text NOT NULL,
    tier text NOT NULL,
    finish_tag numeric NOT NULL DEFAULT 0,
    virtual_time numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (pool, tier)
) WITH (fillfactor = 50);
CREATE TABLE generation.user_clocks (
    pool text NOT NULL,
    tier text NOT NULL,
    user_id uuid NOT NULL,
    finish_tag numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (pool, tier, user_id)
) WITH (fillfactor = 50);
INSERT INTO generation.pool_clocks (pool) VALUES ('standard'), ('premium');

-- What a user may know of everybody's queue: numbers, nobody's rows.
CREATE FUNCTION generation.queue_outlook(
    p_pool text, OUT waiting bigint, OUT waiting_millicredits bigint, OUT running bigint,
    OUT p50_speed double precision, OUT p90_speed double precision
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        (SELECT count(*) FROM generation.jobs WHERE pool = p_pool AND state = 'queued'),
        (SELECT coalesce(sum(quoted_millicredits), 0) FROM generation.jobs
            WHERE pool = p_pool AND state = 'queued'),
        (SELECT count(*) FROM generation.jobs WHERE pool = p_pool AND state = 'running'),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds_per_millicredit),
        percentile_cont(0.9) WITHIN GROUP (ORDER BY seconds_per_millicredit)
    FROM (
        SELECT extract(epoch FROM finished_at - started_at)::float8 / quoted_millicredits
            AS seconds_per_millicredit
        FROM generation.jobs
        WHERE pool = p_pool AND state IN ('succeeded', 'partial')
        ORDER BY finished_at DESC LIMIT 100
    ) recent
$$;
