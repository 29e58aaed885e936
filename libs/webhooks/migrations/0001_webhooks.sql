-- Where customers want to be told. `all_jobs`: of every job, else of those alone that name it.
CREATE TABLE webhooks.endpoints (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    url text NOT NULL,
    description text NOT NULL DEFAULT '',
    events text[] NOT NULL CHECK (cardinality(events) > 0),
    all_jobs boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL,
    failing_since timestamptz,
    disabled_at timestamptz,
    disabled_reason text CHECK (disabled_reason IN ('owner', 'gone', 'failing')),
    CONSTRAINT ck_endpoints_disabled CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL)),
    CONSTRAINT uq_endpoints_user_id_id UNIQUE (user_id, id)
);

-- Apart from the endpoints, so that who manages these cannot read them. The newest has no end; the
-- one before it signs, too, until it expires.
CREATE TABLE webhooks.secrets (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    secret text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    FOREIGN KEY (user_id, endpoint_id) REFERENCES webhooks.endpoints (user_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_secrets_endpoint_id ON webhooks.secrets (endpoint_id);
CREATE INDEX ix_secrets_expires_at ON webhooks.secrets (expires_at) WHERE expires_at IS NOT NULL;

-- One message to one endpoint. `attempt` is the fencing number of the newest try; `tries` counts
-- since it was queued. `log` holds the newest tries as
-- {"attempt", "at", "status", "seconds", "answer", "error"}.
CREATE TABLE webhooks.deliveries (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    message_id uuid NOT NULL,
    type text NOT NULL,
    body text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempt integer NOT NULL DEFAULT 0,
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL,
    leased_until timestamptz,
    log jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    CONSTRAINT ck_deliveries_finished CHECK ((state = 'pending') = (finished_at IS NULL)),
    FOREIGN KEY (user_id, endpoint_id) REFERENCES webhooks.endpoints (user_id, id) ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX ix_deliveries_endpoint_id ON webhooks.deliveries (endpoint_id, id DESC);
CREATE INDEX ix_deliveries_due ON webhooks.deliveries (endpoint_id, next_try_at)
    WHERE state = 'pending';
CREATE INDEX ix_deliveries_leased ON webhooks.deliveries (endpoint_id)
    WHERE leased_until IS NOT NULL;
CREATE INDEX ix_deliveries_finished_at ON webhooks.deliveries (finished_at)
    WHERE finished_at IS NOT NULL;

-- Rows alone announce themselves: most ends of jobs are told to nobody, and a notification costs
-- every commit.
CREATE FUNCTION webhooks.announce_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('webhooks', ''); RETURN NULL; END $$;
CREATE TRIGGER announce AFTER INSERT ON webhooks.deliveries
    FOR EACH ROW EXECUTE FUNCTION webhooks.announce_delivery();
