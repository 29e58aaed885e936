CREATE TABLE identity.users (
    id uuid PRIMARY KEY,
    email text NOT NULL CONSTRAINT uq_users_email UNIQUE,
    display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 80),
    password_hash text NOT NULL,
    role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    created_at timestamptz NOT NULL
);

-- A login session is a family of refresh tokens: each use of one retires it and makes the next.
CREATE TABLE identity.sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES identity.users ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CONSTRAINT uq_sessions_user_id_id UNIQUE (user_id, id)
);

CREATE TABLE identity.refresh_tokens (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    user_id uuid NOT NULL,
    session_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    FOREIGN KEY (user_id, session_id) REFERENCES identity.sessions (user_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_refresh_tokens_session ON identity.refresh_tokens (user_id, session_id);

-- Who logs in is nobody's tenant yet. These two questions, and no others, may be asked of all rows.
CREATE FUNCTION identity.find_login(p_email text) RETURNS TABLE (user_id uuid, password_hash text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT u.id, u.password_hash FROM identity.users u WHERE u.email = p_email
$$;

CREATE FUNCTION identity.find_token_owner(p_token_hash bytea) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.user_id FROM identity.refresh_tokens t WHERE t.token_hash = p_token_hash
$$;
