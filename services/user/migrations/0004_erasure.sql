-- What is left of an account after it was erased: that, when, and step by step how. No foreign key:
-- the account goes first.
CREATE TABLE identity.erasures (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT uq_erasures_user_id UNIQUE,
    state text NOT NULL DEFAULT 'requested'
        CHECK (state IN ('requested', 'erasing', 'erased', 'finished')),
    requested_at timestamptz NOT NULL,
    steps jsonb NOT NULL DEFAULT '{}',
    waits_for text,
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    error text,
    next_try_at timestamptz NOT NULL,
    finished_at timestamptz,
    CHECK ((state = 'finished') = (finished_at IS NOT NULL))
);
COMMENT ON COLUMN identity.erasures.steps IS 'when each step was done: {"jobs": "2026-..."}';
COMMENT ON COLUMN identity.erasures.attempts IS 'the fencing number of the newest claim';
CREATE INDEX ix_erasures_due ON identity.erasures (next_try_at) WHERE state <> 'finished';

-- An archive of everything that is a user's; at most one is being made.
CREATE TABLE identity.exports (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'requested'
        CHECK (state IN ('requested', 'making', 'ready', 'failed')),
    requested_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    next_try_at timestamptz NOT NULL,
    upload_id text,
    size_bytes bigint,
    ready_at timestamptz,
    expires_at timestamptz,
    CHECK ((state = 'ready') = (ready_at IS NOT NULL AND expires_at IS NOT NULL))
);
COMMENT ON COLUMN identity.exports.upload_id IS 'of the parts that lie in the object store';
CREATE UNIQUE INDEX uq_exports_running ON identity.exports (user_id)
    WHERE state IN ('requested', 'making');
CREATE INDEX ix_exports_user_id ON identity.exports (user_id, id DESC);
CREATE INDEX ix_exports_due ON identity.exports (next_try_at)
    WHERE state IN ('requested', 'making');
CREATE INDEX ix_exports_expires_at ON identity.exports (expires_at) WHERE state = 'ready';

CREATE FUNCTION identity.notify_account_work() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('account_work', ''); RETURN NULL; END $$;
CREATE TRIGGER notify_account_work AFTER INSERT ON identity.erasures
    FOR EACH STATEMENT EXECUTE FUNCTION identity.notify_account_work();
CREATE TRIGGER notify_account_work AFTER INSERT ON identity.exports
    FOR EACH STATEMENT EXECUTE FUNCTION identity.notify_account_work();

-- Everything that was written to the tenant, or to the tenant's address before there was an account.
CREATE FUNCTION identity.forget_letters() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM ops.emails e
    WHERE e.user_id = ops.current_tenant()
        OR e.recipient = (SELECT u.email FROM identity.users u WHERE u.id = ops.current_tenant())
$$;
