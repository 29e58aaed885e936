ALTER TABLE credits.accounts ADD COLUMN closed_at timestamptz;
COMMENT ON COLUMN credits.accounts.closed_at IS
    'when its user was erased: the id is a pseudonym from then on, which nobody can be found by';

-- End all that is left, for ever. 'closed', or 'known' (closed before: what came since has ended
-- too), 'held' (jobs have credits set aside: nothing was done), 'unknown'.
CREATE FUNCTION credits.close_account(p_user uuid, p_now timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz := coalesce(p_now, now());
    was_closed boolean;
BEGIN
    PERFORM credits.lock_pockets(p_user);
    IF EXISTS (SELECT FROM credits.holds WHERE user_id = p_user) THEN RETURN 'held'; END IF;
    SELECT closed_at IS NOT NULL INTO was_closed FROM credits.accounts
        WHERE user_id = p_user FOR UPDATE;
    IF NOT FOUND THEN RETURN 'unknown'; END IF;
    UPDATE credits.accounts SET closed_at = coalesce(closed_at, moment), next_free_at = NULL
        WHERE user_id = p_user;
    PERFORM credits.close_grant(id, 'expired', moment) FROM credits.grants
        WHERE user_id = p_user AND ended_at IS NULL;
    DELETE FROM credits.spend_caps WHERE user_id = p_user;
    RETURN CASE WHEN was_closed THEN 'known' ELSE 'closed' END;
END $$;
