-- `estimate`: what was told at acceptance, and from what it was reckoned. `hold_id`: the hold that
-- pays for the job now; null: the one that its acceptance made.
ALTER TABLE generation.jobs ADD COLUMN estimate jsonb, ADD COLUMN hold_id uuid;

-- Outlooks and the function below take their places. (0006 has moved leases out of jobs: no older
-- code runs beside this.)
DROP FUNCTION generation.accept_job(jsonb, jsonb);
DROP FUNCTION generation.queue_outlook(text);

-- What is said of a job that waits: `libs.tiers.estimates.tell` and `wait_in_table`, on the table of
-- its tier that `services/generation/waiting.py` makes. A test compares the two.
CREATE FUNCTION generation.tell_wait(
    p_tables jsonb, p_tier text, p_start double precision, p_own_cost double precision,
    p_cost bigint, p_model text
) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t jsonb := p_tables -> 'tiers' -> p_tier;
    grid double precision[] := ARRAY(SELECT g::float8
        FROM jsonb_array_elements_text(p_tables -> 'grid') WITH ORDINALITY a (g, n) ORDER BY n);
    place int := least(cardinality(grid) - 1, (SELECT count(*) FROM unnest(grid) g WHERE g < p_start));
    seconds double precision := (t -> 'seconds' ->> place)::float8;
    jobs double precision := (t -> 'jobs' ->> place)::float8;
    service jsonb := coalesce(t -> 'services' -> p_model, t -> 'services' -> '');
    part double precision;
    own double precision := p_own_cost * (t ->> 'own_seconds')::float8;
    p50 double precision;
    p90 double precision;
    half double precision := p_cost * (service ->> 0)::float8;
    most double precision := p_cost * greatest((service ->> 0)::float8, (service ->> 1)::float8);
BEGIN
    IF place >= 2 THEN
        part := least(1, (p_start - grid[place]) / (grid[place + 1] - grid[place]));
        seconds := (1 - part) * (t -> 'seconds' ->> place - 1)::float8 + part * seconds;
        jobs := (1 - part) * (t -> 'jobs' ->> place - 1)::float8 + part * jobs;
    END IF;
    seconds := greatest(seconds, own);
    p50 := greatest(0, (seconds + 1) * (t -> 'factors' ->> 0)::float8 - 1);
    p90 := greatest(p50, (seconds + 1) * (t -> 'factors' ->> 1)::float8 - 1);
    RETURN jsonb_build_object(
        'told', jsonb_build_object(
            'position', 1 + round(jobs), 'jobs_ahead', round(jobs),
            'p50_seconds', round(p50::numeric, 1)::float8,
            'p90_seconds', round(p90::numeric, 1)::float8,
            'finish_p50_seconds', round((p50 + half)::numeric, 1)::float8,
            'finish_p90_seconds',
                round((p50 + half + sqrt((p90 - p50) ^ 2 + (most - half) ^ 2))::numeric, 1)::float8),
        'reckoned', seconds, 'virtual_start', p_start, 'p90', p90,
        'refused', coalesce(p90 > (t ->> 'allowed')::float8
            AND seconds > (t ->> 'choice')::float8 AND (t ->> 'choice')::float8 < p90
            - (t ->> 'own_margin')::float8
            * greatest(0, (own + 1) * (t -> 'factors' ->> 1)::float8 - 1), false));
END $$;

-- Accept a job, or say why not; one statement, one commit. It runs with the rights of its caller,
-- under row security. What it decides by comes from the caller: `p_job` is the job and the answer
-- to give, `p_plans` the limits of every plan (libs.tiers), `p_waits` what waits are told by.
-- Nothing is written unless all is.
--
-- outcome: 'accepted' and 'replayed' with the answer's body; 'running' and 'reused' for the
-- Idempotency-Key; 'plan', 'waiting', 'hourly', 'full', 'insufficient' and 'capped' with the facts
-- by which it was refused.
CREATE FUNCTION generation.accept_job(
    p_job jsonb, p_plans jsonb, p_waits jsonb, OUT outcome text, OUT facts jsonb, OUT body text
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    owner uuid := p_job ->> 'user_id';
    id uuid := p_job ->> 'id';
    moment timestamptz := p_job ->> 'now';
    price bigint := p_job ->> 'price';
    repeat_key text := p_job ->> 'repeat_key';
    stored record;
    tier text;
    plan jsonb;
    usage record;
    lead double precision;
    wait jsonb;
    answer jsonb;
BEGIN
    PERFORM set_config('app.user_id', owner::text, true);
    IF repeat_key IS NOT NULL THEN
        IF NOT pg_try_advisory_xact_lock(
            hashtextextended(owner || '/create_generation/' || repeat_key, 0)
        ) THEN
            outcome := 'running';
            RETURN;
        END IF;
        SELECT k.request_hash, k.headers, k.body INTO stored FROM ops.idempotency_keys k
            WHERE k.user_id = owner AND k.operation = 'create_generation' AND k.key = repeat_key;
        IF FOUND THEN
            outcome := CASE WHEN stored.request_hash = p_job ->> 'request_hash'
                THEN 'replayed' ELSE 'reused' END;
            facts := stored.headers;
            body := stored.body;
            RETURN;
        END IF;
    END IF;

    -- one request of a user at a time, so that limits hold under concurrency
    PERFORM pg_advisory_xact_lock(hashtextextended('admission/' || owner, 0));
    SELECT e.tier INTO tier FROM ops.entitlements e WHERE e.user_id = owner;
    tier := coalesce(tier, p_plans ->> 'default');
    plan := p_plans -> tier;
    facts := jsonb_build_object('tier', tier);
    IF NOT plan -> 'bases' ? (p_job ->> 'base') THEN
        outcome := 'plan';
        RETURN;
    END IF;

    SELECT count(*) FILTER (WHERE j.state = 'queued') AS waiting,
            coalesce(sum(j.quoted_millicredits) FILTER (WHERE j.state = 'queued'), 0) AS waiting_cost,
            count(*) FILTER (WHERE j.state = 'running') AS running,
            coalesce(sum(j.quoted_millicredits) FILTER (WHERE j.state = 'running'), 0) AS running_cost,
            count(*) FILTER (WHERE j.created_at > moment - interval '1 hour') AS created,
            min(j.created_at) FILTER (WHERE j.created_at > moment - interval '1 hour') AS oldest
        INTO usage FROM generation.jobs j
        WHERE j.user_id = owner
            AND (j.state IN ('queued', 'running') OR j.created_at > moment - interval '1 hour');
    SELECT greatest(0, f.tag - coalesce(c.virtual_time, 0)) INTO lead
        FROM generation.flows f LEFT JOIN generation.tier_clocks c USING (pool, tier)
        WHERE f.user_id = owner AND f.pool = plan ->> 'pool' AND f.tier = facts ->> 'tier';
    lead := coalesce(lead, 0);
    facts := facts || jsonb_build_object('waiting', usage.waiting, 'created', usage.created,
        'oldest_age', floor(extract(epoch FROM moment - usage.oldest)));
    -- when the running limit is reached, the rest of the next running job to end is in front
    usage.running_cost := CASE WHEN usage.running >= (plan ->> 'running_jobs')::int
        THEN usage.running_cost / ((plan ->> 'running_jobs')::int + 1) ELSE 0 END;
    IF usage.waiting >= (plan ->> 'waiting_jobs')::bigint THEN
        outcome := 'waiting';
        facts := facts || jsonb_build_object('next_start', generation.tell_wait(
            p_waits, tier, lead, usage.running_cost::float8, price, p_job ->> 'model')
            #> '{told,p50_seconds}');
        RETURN;
    END IF;
    IF usage.created >= (plan ->> 'creates_per_hour')::bigint THEN
        outcome := 'hourly';
        RETURN;
    END IF;
    wait := generation.tell_wait(p_waits, tier, lead + usage.waiting_cost::float8,
        (usage.waiting_cost + usage.running_cost)::float8, price, p_job ->> 'model');
    IF (wait ->> 'refused')::boolean THEN
        outcome := 'full';
        facts := facts || jsonb_build_object('expected_wait', wait -> 'p90');
        RETURN;
    END IF;

    outcome := credits.hold_credits(owner, id, price, p_job ->> 'model',
        (p_job ->> 'key_id')::uuid, (p_job ->> 'hold_expires_at')::timestamptz, NULL);
    IF outcome = 'insufficient' THEN
        facts := facts || jsonb_build_object('available', (
            SELECT coalesce(sum(remaining), 0) FROM credits.pockets p
            WHERE p.user_id = owner AND (p.expires_at IS NULL OR p.expires_at > now())
        ));
        RETURN;
    ELSIF outcome = 'capped' THEN
        facts := facts || jsonb_build_object('cap',
            credits.passed_cap(owner, (p_job ->> 'key_id')::uuid, price, now()));
        RETURN;
    END IF;

    INSERT INTO generation.jobs (id, user_id, tier, pool, model, base, request, quoted_millicredits,
            price_version, created_at, due_at, expires_at, estimate)
        VALUES (id, owner, tier, plan ->> 'pool', p_job ->> 'model', p_job ->> 'base',
            p_job -> 'request', price, p_job ->> 'price_version', moment, now(),
            (p_job ->> 'expires_at')::timestamptz,
            (wait -> 'told') || jsonb_build_object('reckoned', wait -> 'reckoned',
                'virtual_start', wait -> 'virtual_start'));
    INSERT INTO ops.outbox (kind, name, payload, traceparent) VALUES
        ('event', p_job #>> '{event,topic}',
            jsonb_set(p_job -> 'event', '{data}', jsonb_build_object(
                'position', wait #> '{told,position}', 'eta', wait -> 'told')),
            p_job ->> 'traceparent'),
        ('task', p_job ->> 'task',
            jsonb_build_object('queue', plan ->> 'queue', 'arguments', '{}'::jsonb),
            p_job ->> 'traceparent');
    answer := (p_job -> 'answer') || jsonb_build_object('tier', tier, 'estimate', wait -> 'told');
    IF repeat_key IS NOT NULL THEN
        INSERT INTO ops.idempotency_keys
                (user_id, operation, key, request_hash, status, headers, body)
            VALUES (owner, 'create_generation', repeat_key, p_job ->> 'request_hash', 202,
                p_job -> 'headers', answer);
    END IF;
    outcome := 'accepted';
    body := answer;
END $$;

-- For administrators, as the database knows them now: jobs that ended by failing, newest first.
CREATE INDEX ix_jobs_failed ON generation.jobs (id) WHERE state = 'failed';
CREATE FUNCTION generation.dead_letters(p_limit integer, p_before uuid) RETURNS TABLE (
    id uuid, user_id uuid, pool text, tier text, model text, quoted_millicredits bigint,
    attempt integer, failures integer, error jsonb, created_at timestamptz, finished_at timestamptz
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT j.id, j.user_id, j.pool, j.tier, j.model, j.quoted_millicredits, j.attempt, j.failures,
        j.error, j.created_at, j.finished_at
    FROM generation.jobs j
    WHERE j.state = 'failed' AND (p_before IS NULL OR j.id < p_before)
        AND (SELECT identity.tenant_is_staff(ARRAY['admin']))
    ORDER BY j.id DESC LIMIT p_limit
$$;
CREATE FUNCTION generation.find_owner(p_job uuid) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT j.user_id FROM generation.jobs j
    WHERE j.id = p_job AND (SELECT identity.tenant_is_staff(ARRAY['admin']))
$$;
