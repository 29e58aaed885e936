CREATE TABLE ops.api_keys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 80),
    prefix text NOT NULL,
    key_hash bytea NOT NULL CONSTRAINT uq_api_keys_key_hash UNIQUE
        CHECK (octet_length(key_hash) = 32),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY[
        'account:read', 'billing:read', 'generations:read', 'generations:write',
        'images:read', 'images:write', 'models:read', 'models:write'
    ]),
    created_at timestamptz NOT NULL,
    expires_at timestamptz CHECK (expires_at > created_at),
    last_used_at timestamptz,
    ended_at timestamptz
);
CREATE INDEX ix_api_keys_user ON ops.api_keys (user_id, id DESC);
COMMENT ON COLUMN ops.api_keys.prefix IS 'the first characters, by which the owner knows the key';
COMMENT ON COLUMN ops.api_keys.last_used_at IS 'to the minute';

-- Login sessions whose access tokens may still be out. They name nobody: every service reads them.
CREATE TABLE ops.ended_logins (
    session_id uuid PRIMARY KEY,
    forget_at timestamptz NOT NULL
);

-- Whose key this is, before a tenant is known: the one question that may be asked of all keys.
CREATE FUNCTION ops.find_api_key(p_key_hash bytea)
RETURNS TABLE (key_id uuid, user_id uuid, scopes text[], expires_at timestamptz, tier text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    UPDATE ops.api_keys k SET last_used_at = now()
    WHERE k.key_hash = p_key_hash AND k.ended_at IS NULL
        AND (k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute');
    RETURN QUERY
        SELECT k.id, k.user_id, k.scopes, k.expires_at, e.tier
        FROM ops.api_keys k LEFT JOIN ops.entitlements e ON e.user_id = k.user_id
        WHERE k.key_hash = p_key_hash AND k.ended_at IS NULL;
END $$;
