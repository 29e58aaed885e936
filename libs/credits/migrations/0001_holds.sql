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

-- Which pockets cover a hold, earliest expiry first, then oldest; null if all of them do not.
-- The caller has locked them.
CREATE FUNCTION credits.choose_pockets(
    p_user uuid, p_amount bigint, p_moment timestamptz,
    OUT grant_ids uuid[], OUT pockets smallint[], OUT parts bigint[]
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missing bigint := p_amount;
    p record;
BEGIN
    FOR p IN SELECT * FROM credits.pockets
        WHERE user_id = p_user AND remaining > 0 AND (expires_at IS NULL OR expires_at > p_moment)
        ORDER BY expires_at, created_at, grant_id, pocket
    LOOP
        grant_ids := grant_ids || p.grant_id;
        pockets := pockets || p.pocket;
        parts := parts || least(missing, p.remaining);
        missing := missing - least(missing, p.remaining);
        EXIT WHEN missing = 0;
    END LOOP;
    IF missing > 0 THEN grant_ids := NULL; END IF;
END $$;

-- The slow way of a hold, with all pockets locked: several pockets, spend caps, refusals.
CREATE FUNCTION credits.hold_from_pockets(
    p_user uuid, p_hold uuid, p_amount bigint, p_model text, p_key uuid, p_expires timestamptz,
    p_moment timestamptz
) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chosen record;
BEGIN
    PERFORM credits.lock_pockets(p_user);
    IF EXISTS (SELECT FROM credits.transfers WHERE reference = p_hold AND kind = 'hold') THEN
        RETURN 'replayed';
    END IF;
    SELECT * INTO chosen FROM credits.choose_pockets(p_user, p_amount, p_moment);
    IF chosen.grant_ids IS NULL THEN RETURN 'insufficient'; END IF;
    IF credits.passed_cap(p_user, p_key, p_amount, p_moment) IS NOT NULL THEN
        RETURN 'capped';
    END IF;
    FOR i IN 1 .. cardinality(chosen.parts) LOOP
        UPDATE credits.pockets SET remaining = remaining - chosen.parts[i]
            WHERE grant_id = chosen.grant_ids[i] AND pocket = chosen.pockets[i];
        INSERT INTO credits.transfers
                (user_id, kind, grant_id, amount, reference, part, model, key_id, created_at)
            VALUES (p_user, 'hold', chosen.grant_ids[i], chosen.parts[i], p_hold, i, p_model,
                p_key, p_moment);
    END LOOP;
    INSERT INTO credits.holds
        VALUES (p_user, p_hold, p_amount, chosen.grant_ids, chosen.pockets, chosen.parts, p_model,
            p_key, p_moment, p_expires);
    RETURN 'held';
END $$;

-- Set credits aside. 'held', 'replayed' (same id), 'insufficient', or 'capped'; never oversells.
-- The quick way: without caps, one pocket of the grant that burns first mostly covers it. Plans
-- are generic, so that a connection plans each statement once.
CREATE FUNCTION credits.hold_credits(
    p_user uuid, p_hold uuid, p_amount bigint, p_model text, p_key uuid, p_expires timestamptz,
    p_now timestamptz
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    moment timestamptz := coalesce(p_now, now());
    source uuid;
    place smallint;
    capped boolean;
BEGIN
    SELECT grant_id, pg_backend_pid() % pockets,
            EXISTS (SELECT FROM credits.spend_caps WHERE user_id = p_user)
        INTO source, place, capped FROM credits.pockets
        WHERE user_id = p_user AND remaining > 0 AND (expires_at IS NULL OR expires_at > moment)
        ORDER BY expires_at, created_at, grant_id, pocket LIMIT 1;
    BEGIN
        UPDATE credits.pockets SET remaining = remaining - p_amount
            WHERE grant_id = source AND pocket = place AND remaining >= p_amount AND NOT capped;
        IF NOT FOUND THEN RAISE no_data_found; END IF;
    EXCEPTION WHEN no_data_found THEN
        -- rolled back to here: a row that was waited for in vain would stay locked, out of order
        RETURN credits.hold_from_pockets(p_user, p_hold, p_amount, p_model, p_key, p_expires,
            moment);
    END;
    INSERT INTO credits.transfers
            (user_id, kind, grant_id, amount, reference, model, key_id, created_at)
        VALUES (p_user, 'hold', source, p_amount, p_hold, p_model, p_key, moment)
        ON CONFLICT (reference, kind, part) DO NOTHING;
    IF NOT FOUND THEN
        UPDATE credits.pockets SET remaining = remaining + p_amount
            WHERE grant_id = source AND pocket = place;
        RETURN 'replayed';
    END IF;
    INSERT INTO credits.holds
        VALUES (p_user, p_hold, p_amount, ARRAY[source], ARRAY[place], ARRAY[p_amount], p_model,
            p_key, moment, p_expires);
    RETURN 'held';
END $$;

-- A refund's part of what was just released into a pocket; answers what was taken.
CREATE FUNCTION credits.pay_owed(p_grant uuid, p_pocket smallint, p_released bigint)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    back bigint;
BEGIN
    SELECT least(owed, p_released) INTO back FROM credits.grants WHERE id = p_grant FOR UPDATE;
    UPDATE credits.grants SET owed = owed - back WHERE id = p_grant;
    UPDATE credits.pockets SET remaining = remaining - back
        WHERE grant_id = p_grant AND pocket = p_pocket;
    RETURN back;
END $$;

-- End a hold: capture a part, release the rest. 'settled', 'replayed' (ended before) or 'unknown'.
-- What returns to a grant that has ended meanwhile, or of which a refund is owed, leaves it at once.
CREATE FUNCTION credits.settle_hold(p_user uuid, p_hold uuid, p_captured bigint, p_now timestamptz)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    h credits.holds;
    moment timestamptz := coalesce(p_now, now());
    missing bigint := p_captured;
    taken bigint;
    rest bigint;
    ends text;
    back bigint;
    owes boolean;
BEGIN
    DELETE FROM credits.holds WHERE user_id = p_user AND id = p_hold RETURNING * INTO h;
    IF NOT FOUND THEN
        RETURN CASE WHEN EXISTS (
            SELECT FROM credits.transfers WHERE reference = p_hold AND kind = 'hold'
        ) THEN 'replayed' ELSE 'unknown' END;
    END IF;
    IF (p_captured BETWEEN 0 AND h.amount) IS NOT TRUE THEN
        RAISE check_violation USING MESSAGE = 'a capture is within its hold';
    END IF;
    FOR i IN 1 .. cardinality(h.parts) LOOP
        taken := least(h.parts[i], missing);
        missing := missing - taken;
        rest := h.parts[i] - taken;
        ends := NULL;
        back := 0;
        IF rest > 0 THEN
            UPDATE credits.pockets SET remaining = remaining + rest
                WHERE grant_id = h.grant_ids[i] AND pocket = h.pockets[i]
                RETURNING owing INTO owes;
            IF NOT FOUND THEN
                SELECT CASE ending WHEN 'expired' THEN 'expire' ELSE 'reverse' END, rest
                    INTO STRICT ends, back FROM credits.grants WHERE id = h.grant_ids[i];
            ELSIF owes THEN
                ends := 'reverse';
                back := credits.pay_owed(h.grant_ids[i], h.pockets[i], rest);
            END IF;
        END IF;
        INSERT INTO credits.transfers
                (user_id, kind, grant_id, amount, reference, part, model, key_id, created_at)
            SELECT p_user, v.kind, h.grant_ids[i], v.amount, p_hold, i, h.model, h.key_id, moment
            FROM (VALUES ('capture', taken), ('release', rest), (ends, back)) v (kind, amount)
            WHERE v.amount > 0 AND v.kind IS NOT NULL;
    END LOOP;
    RETURN 'settled';
END $$;

-- Release what nobody settled in time; answers how many holds.
CREATE FUNCTION credits.release_expired_holds(p_user uuid, p_now timestamptz)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    late uuid[];
BEGIN
    -- a hold before its pockets, as a settlement locks them; one that is being settled is left alone
    late := ARRAY(
        SELECT id FROM credits.holds WHERE user_id = p_user AND expires_at <= coalesce(p_now, now())
        ORDER BY id FOR UPDATE SKIP LOCKED
    );
    PERFORM credits.lock_pockets(p_user);
    PERFORM credits.settle_hold(p_user, hold, 0, p_now) FROM unnest(late) hold;
    RETURN cardinality(late);
END $$;
