-- As in 0001, and: whoever signs people up gives what every sign-up gets, nothing else.
CREATE OR REPLACE FUNCTION credits.grant_credits(
    p_user uuid, p_id uuid, p_key text, p_kind text, p_amount bigint, p_expires timestamptz,
    p_now timestamptz
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz := coalesce(p_now, now());
    pockets bigint := CASE WHEN p_amount < 1000000 THEN 1 ELSE 16 END;
BEGIN
    IF session_user = 'easel_user' AND (p_kind <> 'free' OR p_key NOT LIKE 'free:' || p_user || ':%')
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'easel_user grants free months alone';
    END IF;
    INSERT INTO credits.grants (id, user_id, key, kind, amount, expires_at, created_at)
        VALUES (p_id, p_user, p_key, p_kind, p_amount, p_expires, moment)
        ON CONFLICT (key) DO NOTHING;
    IF NOT FOUND THEN RETURN 'replayed'; END IF;
    INSERT INTO credits.pockets
        SELECT p_id, i, pockets, p_user,
            p_amount / pockets + CASE WHEN i < p_amount % pockets THEN 1 ELSE 0 END,
            p_expires, moment
        FROM generate_series(0, pockets - 1) i;
    INSERT INTO credits.transfers (user_id, kind, grant_id, amount, reference, created_at)
        VALUES (p_user, 'grant', p_id, p_amount, p_id, moment);
    RETURN 'granted';
END $$;
