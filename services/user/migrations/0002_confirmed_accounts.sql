-- Yesterday's code names none of these columns: the defaults let it go on until it is replaced.
ALTER TABLE identity.users
    ALTER COLUMN password_hash DROP NOT NULL,
    ADD COLUMN email_verified_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN suspended_at timestamptz,
    DROP CONSTRAINT users_role_check,
    ADD CONSTRAINT ck_users_role CHECK (role IN ('user', 'support', 'admin'));
COMMENT ON COLUMN identity.users.password_hash IS 'NULL: logs in by a provider alone';

ALTER TABLE identity.sessions
    ADD COLUMN user_agent text CHECK (char_length(user_agent) <= 200),
    ADD COLUMN network text CHECK (char_length(network) <= 50);
COMMENT ON COLUMN identity.sessions.network IS 'where the login came from: an IPv4 /24 or IPv6 /48';

-- Who registers is `user_id` from the first moment, and a row of identity.users once confirmed.
CREATE TABLE identity.pending_registrations (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    user_id uuid NOT NULL,
    email text NOT NULL,
    display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 80),
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    tries integer NOT NULL DEFAULT 0 CHECK (tries >= 0)
);
CREATE INDEX ix_pending_registrations_expires_at ON identity.pending_registrations (expires_at);

-- One a user: the newest alone counts. No foreign key: asking for an address that nobody has leaves
-- the same row, so that it takes the same time.
CREATE TABLE identity.password_resets (
    user_id uuid PRIMARY KEY,
    token_hash bytea NOT NULL CONSTRAINT uq_password_resets_token_hash UNIQUE
        CHECK (octet_length(token_hash) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX ix_password_resets_expires_at ON identity.password_resets (expires_at);

CREATE FUNCTION identity.find_pending_owner(p_token_hash bytea) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.user_id FROM identity.pending_registrations p WHERE p.token_hash = p_token_hash
$$;

CREATE FUNCTION identity.find_reset_owner(p_token_hash bytea) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.user_id FROM identity.password_resets r WHERE r.token_hash = p_token_hash
$$;

-- Nobody can use these rows any more, and they hold e-mail addresses.
CREATE FUNCTION identity.forget_expired_requests() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM identity.pending_registrations WHERE expires_at < now();
    DELETE FROM identity.password_resets WHERE expires_at < now();
$$;

-- Staff see others' rows in a transaction that asks for it (`app.staff_view`), and only while the
-- tenant, whom the token proved, has the role in this database now.
CREATE FUNCTION identity.tenant_is_staff(p_roles text[]) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT current_setting('app.staff_view', true) = 'on' AND EXISTS (
        SELECT FROM identity.users u
        WHERE u.id = ops.current_tenant() AND u.role = ANY(p_roles) AND u.suspended_at IS NULL
    )
$$;

-- The one way to change a role or a suspension; NULL leaves it as it is. Verdicts: `changed`,
-- `refused` (the tenant is no administrator), `unknown` (no such user), `last_admin`.
CREATE FUNCTION identity.change_access(
    p_user_id uuid, p_role text, p_suspended boolean, p_now timestamptz
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- administrators change access one after the other: two cannot demote each other
    PERFORM FROM identity.users u WHERE u.role = 'admin' ORDER BY u.id FOR UPDATE;
    IF NOT coalesce(identity.tenant_is_staff(ARRAY['admin']), false) THEN
        RETURN 'refused';
    END IF;
    UPDATE identity.users u SET
        role = coalesce(p_role, u.role),
        suspended_at = CASE
            WHEN p_suspended IS NULL THEN u.suspended_at
            WHEN p_suspended THEN coalesce(u.suspended_at, p_now)
        END
    WHERE u.id = p_user_id;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    IF NOT EXISTS (
        SELECT FROM identity.users u WHERE u.role = 'admin' AND u.suspended_at IS NULL
    ) THEN
        RETURN 'last_admin';  -- the caller rolls back
    END IF;
    RETURN 'changed';
END $$;
