-- Holds: set aside, then capture a part and release the rest. A hold names the grants it is taken
-- from, so that an expiry in between takes nothing from a job that was accepted.

-- The first spend cap that one more hold would pass, as JSON, or null. Spent: captured in the
-- period, and all that is held now. Days and months are UTC.
CREATE FUNCTION credits.passed_cap(
    p_user uuid, p_key uuid, p_amount bigint, p_moment timestamptz
) RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('period', c.period, 'of_key', c.key_id <> whole_account,
        'cap_millicredits', c.millicredits, 'spent_millicredits', spent.amount)
    FROM credits.spend_caps c,
        (VALUES (uuid '00000000-0000-0000-0000-000000000000')) everything (whole_account),
        LATERAL (
        SELECT (SELECT coalesce(sum(t.amount), 0) FROM credits.transfers t
            WHERE t.user_id = p_user AND t.kind = 'capture'
                AND (c.key_id = whole_account OR t.key_id = c.key_id)
                AND t.created_at >= CASE c.period WHEN 'total' THEN timestamptz '-infinity'
                    ELSE date_trunc(c.period, p_moment, 'UTC') END
        ) + (SELECT coalesce(sum(h.amount), 0) FROM credits.holds h
            WHERE h.user_id = p_user AND (c.key_id = whole_account OR h.key_id = c.key_id)) AS amount
    ) spent
    WHERE c.user_id = p_user AND c.key_id IN (whole_account, p_key)
        AND spent.amount + p_amount > c.millicredits
    ORDER BY c.period, c.key_id LIMIT 1
$$;

-- Set credits aside: earliest expiry first, then oldest. 'held', 'replayed' (same id),
-- 'insufficient', or 'capped'; never oversells. Each statement is one whose plan never depends on
-- its values, so that it is planned once a connection.
CREATE FUNCTION credits.hold_credits(
    p_user uuid, p_hold uuid, p_amount bigint, p_model text, p_key uuid, p_expires timestamptz,
    p_now timestamptz
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz := coalesce(p_now, now());
    missing bigint := p_amount;
    ids uuid[];
    amounts bigint[];
    capped boolean;
    g record;
BEGIN
    PERFORM pg_advisory_xact_lock(uuid_hash_extended(p_user, 0));
    FOR g IN SELECT id, remaining,
            EXISTS (SELECT FROM credits.spend_caps WHERE user_id = p_user) AS capped
        FROM credits.grants
        WHERE user_id = p_user AND ended_at IS NULL AND remaining > 0
            AND (expires_at IS NULL OR expires_at > moment)
        ORDER BY expires_at, created_at, id
    LOOP
        ids := ids || g.id;
        amounts := amounts || least(missing, g.remaining);
        missing := missing - least(missing, g.remaining);
        capped := g.capped;
        EXIT WHEN missing = 0;
    END LOOP;
    IF missing > 0 OR capped THEN
        IF EXISTS (SELECT FROM credits.transfers WHERE reference = p_hold AND kind = 'hold') THEN
            RETURN 'replayed';
        END IF;
    END IF;
    IF missing > 0 THEN RETURN 'insufficient'; END IF;
    IF capped AND credits.passed_cap(p_user, p_key, p_amount, moment) IS NOT NULL THEN
        RETURN 'capped';
    END IF;
    FOR i IN 1 .. cardinality(ids) LOOP
        INSERT INTO credits.transfers
                (user_id, kind, grant_id, amount, reference, part, model, key_id, created_at)
            VALUES (p_user, 'hold', ids[i], amounts[i], p_hold, i, p_model, p_key, moment)
            ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN RETURN 'replayed'; END IF;
        UPDATE credits.grants SET remaining = remaining - amounts[i] WHERE id = ids[i];
    END LOOP;
    INSERT INTO credits.holds
        VALUES (p_user, p_hold, p_amount, ids, amounts, p_model, p_key, moment, p_expires);
    RETURN 'held';
END $$;

-- Return a part of a hold to its grant; a grant that has ended meanwhile keeps nothing of it.
CREATE FUNCTION credits.release_part(
    p_hold credits.holds, p_part integer, p_amount bigint, p_moment timestamptz
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    grant_ending text;
BEGIN
    UPDATE credits.grants SET remaining = remaining + CASE WHEN ended_at IS NULL THEN p_amount
        ELSE 0 END WHERE id = p_hold.grant_ids[p_part] RETURNING ending INTO STRICT grant_ending;
    INSERT INTO credits.transfers
            (user_id, kind, grant_id, amount, reference, part, model, key_id, created_at)
        VALUES (p_hold.user_id, 'release', p_hold.grant_ids[p_part], p_amount, p_hold.id, p_part,
            p_hold.model, p_hold.key_id, p_moment);
    IF grant_ending IS NOT NULL THEN
        INSERT INTO credits.transfers
                (user_id, kind, grant_id, amount, reference, part, created_at)
            VALUES (p_hold.user_id, CASE grant_ending WHEN 'expired' THEN 'expire'
                ELSE 'reverse' END, p_hold.grant_ids[p_part], p_amount, p_hold.id, p_part,
                p_moment);
    END IF;
END $$;

-- End a hold: capture a part, release the rest. 'settled', 'replayed' (ended before) or 'unknown'.
CREATE FUNCTION credits.settle_hold(p_user uuid, p_hold uuid, p_captured bigint, p_now timestamptz)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    h credits.holds;
    moment timestamptz := coalesce(p_now, now());
    missing bigint := p_captured;
    taken bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(uuid_hash_extended(p_user, 0));
    DELETE FROM credits.holds WHERE id = p_hold AND user_id = p_user RETURNING * INTO h;
    IF NOT FOUND THEN
        RETURN CASE WHEN EXISTS (
            SELECT FROM credits.transfers WHERE reference = p_hold AND kind = 'hold'
        ) THEN 'replayed' ELSE 'unknown' END;
    END IF;
    IF p_captured NOT BETWEEN 0 AND h.amount THEN
        RAISE check_violation USING MESSAGE = 'a capture is within its hold';
    END IF;
    FOR i IN 1 .. cardinality(h.parts) LOOP
        taken := least(h.parts[i], missing);
        missing := missing - taken;
        IF taken > 0 THEN
            INSERT INTO credits.transfers
                    (user_id, kind, grant_id, amount, reference, part, model, key_id, created_at)
                VALUES (p_user, 'capture', h.grant_ids[i], taken, p_hold, i, h.model, h.key_id,
                    moment);
        END IF;
        IF taken < h.parts[i] THEN
            PERFORM credits.release_part(h, i, h.parts[i] - taken, moment);
        END IF;
    END LOOP;
    RETURN 'settled';
END $$;

-- Release what nobody settled in time; answers how many holds.
CREATE FUNCTION credits.release_expired_holds(p_user uuid, p_now timestamptz)
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FILTER (WHERE credits.settle_hold(p_user, id, 0, p_now) = 'settled')
    FROM credits.holds WHERE user_id = p_user AND expires_at <= coalesce(p_now, now())
$$;
