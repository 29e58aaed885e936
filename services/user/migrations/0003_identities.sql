-- An account at a sign-in provider that opens an account here. The provider's key for it is the
-- subject; the address is what the provider said when it was linked, for the owner to read.
CREATE TABLE identity.identities (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES identity.users ON DELETE CASCADE,
    provider text NOT NULL CHECK (provider IN ('google', 'discord')),
    subject text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 255),
    email text NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    CONSTRAINT uq_identities_provider_subject UNIQUE (provider, subject)
);
CREATE INDEX ix_identities_user_id ON identity.identities (user_id);

-- A sign-in that is under way, for ten minutes and once. It is nobody's yet, and says nothing that
-- could be used: the state and the browser's secret are kept as SHA-256, the rest is made of them.
CREATE TABLE identity.oauth_attempts (
    state_hash bytea PRIMARY KEY CHECK (octet_length(state_hash) = 32),
    browser_hash bytea NOT NULL CHECK (octet_length(browser_hash) = 32),
    provider text NOT NULL,
    return_to text NOT NULL CHECK (char_length(return_to) <= 500),
    expires_at timestamptz NOT NULL
);
CREATE INDEX ix_oauth_attempts_expires_at ON identity.oauth_attempts (expires_at);

CREATE FUNCTION identity.find_identity_owner(p_provider text, p_subject text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.user_id FROM identity.identities i
    WHERE i.provider = p_provider AND i.subject = p_subject
$$;

-- Somebody has proved that the address is theirs: registrations of it that still wait are void.
-- The tenant's own address alone, so that nobody voids another's.
CREATE FUNCTION identity.drop_pending_registrations() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM identity.pending_registrations p USING identity.users u
    WHERE u.id = ops.current_tenant() AND p.email = u.email
$$;
