-- Accept a job, or say why not; one statement, one commit. It runs with the rights of its caller,
-- under row security. What it decides by comes from the caller: `p_job` is the job and the answer
-- to give, `p_plans` the limits of every plan (libs.tiers). Nothing is written unless all is.
--
-- outcome: 'accepted' and 'replayed' with the answer's body; 'running' and 'reused' for the
-- Idempotency-Key; 'plan', 'waiting', 'hourly', 'insufficient' and 'capped' with the facts by which
-- it was refused.
CREATE FUNCTION generation.accept_job(
    p_job jsonb, p_plans jsonb, OUT outcome text, OUT facts jsonb, OUT body text
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
            count(*) FILTER (WHERE j.created_at > moment - interval '1 hour') AS created,
            min(j.created_at) FILTER (WHERE j.created_at > moment - interval '1 hour') AS oldest
        INTO usage FROM generation.jobs j
        WHERE j.user_id = owner AND (j.state = 'queued' OR j.created_at > moment - interval '1 hour');
    facts := facts || jsonb_build_object('waiting', usage.waiting, 'created', usage.created,
        'oldest_age', floor(extract(epoch FROM moment - usage.oldest)));
    IF usage.waiting >= (plan ->> 'waiting_jobs')::bigint THEN
        outcome := 'waiting';
        RETURN;
    END IF;
    IF usage.created >= (plan ->> 'creates_per_hour')::bigint THEN
        outcome := 'hourly';
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
            price_version, created_at, due_at, expires_at)
        VALUES (id, owner, tier, plan ->> 'pool', p_job ->> 'model', p_job ->> 'base',
            p_job -> 'request', price, p_job ->> 'price_version', moment, now(),
            (p_job ->> 'expires_at')::timestamptz);
    INSERT INTO ops.outbox (kind, name, payload, traceparent) VALUES
        ('event', p_job #>> '{event,topic}',
            jsonb_set(p_job -> 'event', '{data}', p_job #> ARRAY['waits', plan ->> 'pool']),
            p_job ->> 'traceparent'),
        ('task', p_job ->> 'task',
            jsonb_build_object('queue', plan ->> 'queue', 'arguments', '{}'::jsonb),
            p_job ->> 'traceparent');
    answer := (p_job -> 'answer') || jsonb_build_object('tier', tier);
    IF repeat_key IS NOT NULL THEN
        INSERT INTO ops.idempotency_keys
                (user_id, operation, key, request_hash, status, headers, body)
            VALUES (owner, 'create_generation', repeat_key, p_job ->> 'request_hash', 202,
                p_job -> 'headers', answer);
    END IF;
    outcome := 'accepted';
    body := answer;
END $$;
