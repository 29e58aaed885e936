-- The only ways to write the ledger. Each runs in the caller's transaction, as the owner of the
-- tables, whom row security shows the rows of the transaction's tenant alone. `p_now` is the
-- caller's clock; null means the database's.
-- Every verb that touches more than one pocket locks all of the user's first, in burn order.
CREATE FUNCTION credits.lock_pockets(p_user uuid) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
    SELECT FROM credits.pockets WHERE user_id = p_user
    ORDER BY expires_at, created_at, grant_id, pocket FOR UPDATE
$$;

-- At sign-up. False if the account is there already.
CREATE FUNCTION credits.open_account(p_user uuid, p_now timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO credits.accounts (user_id, opened_at, next_free_at)
        VALUES (p_user, coalesce(p_now, now()), coalesce(p_now, now())) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

-- When the next free month is due; null pauses them.
CREATE FUNCTION credits.schedule_free_month(p_user uuid, p_at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE credits.accounts SET next_free_at = p_at
        WHERE user_id = p_user AND next_free_at IS DISTINCT FROM p_at;
END $$;

-- Give credits. 'granted', or 'replayed' if the business key was granted before. From a thousand
-- credits on they are spread over sixteen pockets.
CREATE FUNCTION credits.grant_credits(
    p_user uuid, p_id uuid, p_key text, p_kind text, p_amount bigint, p_expires timestamptz,
    p_now timestamptz
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz := coalesce(p_now, now());
    pockets bigint := CASE WHEN p_amount < 1000000 THEN 1 ELSE 16 END;
BEGIN
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

-- End a grant: what is unspent and not held leaves it now, what is released later leaves at once.
CREATE FUNCTION credits.close_grant(p_id uuid, p_ending text, p_moment timestamptz)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner uuid;
    taken bigint;
BEGIN
    UPDATE credits.grants SET ending = p_ending, ended_at = p_moment
        WHERE id = p_id AND ended_at IS NULL RETURNING user_id INTO owner;
    IF NOT FOUND THEN RETURN 0; END IF;
    WITH emptied AS (DELETE FROM credits.pockets WHERE grant_id = p_id RETURNING remaining)
        SELECT sum(remaining) INTO taken FROM emptied;
    IF taken > 0 THEN
        INSERT INTO credits.transfers (user_id, kind, grant_id, amount, reference, created_at)
            VALUES (owner, CASE p_ending WHEN 'expired' THEN 'expire' ELSE 'reverse' END, p_id,
                taken, p_id, p_moment);
    END IF;
    RETURN taken;
END $$;

-- End the grant of a business key; answers what was taken back (0: unknown, or ended before).
CREATE FUNCTION credits.end_grant(p_user uuid, p_key text, p_ending text, p_now timestamptz)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM credits.lock_pockets(p_user);
    RETURN coalesce((
        SELECT credits.close_grant(id, p_ending, coalesce(p_now, now())) FROM credits.grants
        WHERE user_id = p_user AND key = p_key
    ), 0);
END $$;

-- Take a part of a grant back, at most what is unspent; once a reversal. What is held now is owed:
-- its release takes it back. Answers what was taken now.
CREATE FUNCTION credits.take_back(
    p_user uuid, p_key text, p_reversal uuid, p_amount bigint, p_now timestamptz
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    source uuid;
    taken bigint;
BEGIN
    PERFORM credits.lock_pockets(p_user);
    SELECT grant_id, least(sum(remaining), p_amount) INTO source, taken FROM credits.pockets
        WHERE grant_id = (SELECT id FROM credits.grants WHERE user_id = p_user AND key = p_key)
        GROUP BY grant_id;
    IF NOT FOUND OR p_amount <= 0 OR EXISTS (
        SELECT FROM credits.reversals WHERE id = p_reversal
    ) THEN RETURN 0; END IF;
    INSERT INTO credits.reversals VALUES (p_reversal, p_user);
    IF taken < p_amount THEN
        UPDATE credits.grants SET owed = owed + p_amount - taken WHERE id = source;
        UPDATE credits.pockets SET owing = true WHERE grant_id = source;
    END IF;
    IF taken = 0 THEN RETURN 0; END IF;
    INSERT INTO credits.transfers (user_id, kind, grant_id, amount, reference, created_at)
        VALUES (p_user, 'reverse', source, taken, p_reversal, coalesce(p_now, now()));
    UPDATE credits.pockets p SET remaining = remaining - least(remaining, taken - before)
        FROM (SELECT pocket, sum(remaining) OVER (ORDER BY pocket) - remaining AS before
            FROM credits.pockets WHERE grant_id = source) earlier
        WHERE p.grant_id = source AND p.pocket = earlier.pocket AND before < taken;
    RETURN taken;
END $$;

-- End every grant of the user whose time has come; answers what expired.
CREATE FUNCTION credits.expire_credits(p_user uuid, p_now timestamptz)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM credits.lock_pockets(p_user);
    RETURN coalesce((
        SELECT sum(credits.close_grant(id, 'expired', coalesce(p_now, now()))) FROM credits.grants
        WHERE user_id = p_user AND ended_at IS NULL AND expires_at <= coalesce(p_now, now())
    ), 0);
END $$;

-- Set the cap of an API key or (zeros) of the account; null lifts it.
CREATE FUNCTION credits.set_spend_cap(
    p_user uuid, p_key uuid, p_period text, p_millicredits bigint
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM credits.spend_caps
        WHERE user_id = p_user AND key_id = p_key AND period = p_period AND p_millicredits IS NULL;
    INSERT INTO credits.spend_caps (user_id, key_id, period, millicredits)
        SELECT p_user, p_key, p_period, p_millicredits WHERE p_millicredits IS NOT NULL
        ON CONFLICT (user_id, key_id, period) DO UPDATE SET millicredits = excluded.millicredits;
END $$;
