-- What the provider told us, and what follows from it. `inbox` keeps every webhook as it came;
-- `observations` is the set of all states of a subscription that were ever seen; `subscriptions`,
-- `invoices` and `orders` are the newest of each.
CREATE TABLE billing.inbox (
    id uuid PRIMARY KEY,
    event_name text NOT NULL,
    subject text NOT NULL,
    body bytea NOT NULL,
    body_sha256 bytea NOT NULL CONSTRAINT uq_inbox_body UNIQUE CHECK (body_sha256 = sha256(body)),
    received_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'applied', 'ignored', 'stuck')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    problem text,
    user_id uuid,
    next_try_at timestamptz NOT NULL,
    applied_at timestamptz,
    CHECK ((state IN ('applied', 'ignored')) = (applied_at IS NOT NULL)),
    CHECK (state <> 'stuck' OR problem IS NOT NULL)
);
COMMENT ON COLUMN billing.inbox.subject IS
    'what the event is about: subscriptions:1, and so for its invoices, or orders:1';
CREATE INDEX ix_inbox_pending ON billing.inbox (next_try_at, id) WHERE state = 'pending';
CREATE INDEX ix_inbox_stuck ON billing.inbox (subject) WHERE state = 'stuck';

CREATE FUNCTION billing.notify_inbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('billing_inbox', ''); RETURN NULL; END $$;
CREATE TRIGGER notify_inbox AFTER INSERT ON billing.inbox
    FOR EACH STATEMENT EXECUTE FUNCTION billing.notify_inbox();

CREATE TABLE billing.observations (
    provider_id text NOT NULL,
    content_sha256 bytea NOT NULL,
    user_id uuid NOT NULL,
    observed_at timestamptz NOT NULL,
    customer_id text NOT NULL,
    order_id text NOT NULL,
    user_email text NOT NULL,
    status text NOT NULL CHECK (status IN
        ('on_trial', 'active', 'paused', 'past_due', 'unpaid', 'cancelled', 'expired')),
    variant_id text NOT NULL,
    tier text NOT NULL,
    interval text NOT NULL CHECK (interval IN ('month', 'year')),
    billing_anchor smallint CHECK (billing_anchor BETWEEN 1 AND 31),
    trial_ends_at timestamptz,
    renews_at timestamptz,
    ends_at timestamptz,
    resumes_at timestamptz,
    card_brand text,
    card_last_four text,
    customer_portal_url text,
    update_payment_method_url text,
    provider_created_at timestamptz NOT NULL,
    provider_updated_at timestamptz NOT NULL,
    PRIMARY KEY (provider_id, content_sha256)
);
CREATE INDEX ix_observations_user_id ON billing.observations (user_id);

CREATE TABLE billing.subscriptions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    provider_id text NOT NULL CONSTRAINT uq_subscriptions_provider_id UNIQUE,
    customer_id text NOT NULL,
    order_id text NOT NULL,
    user_email text NOT NULL,
    status text NOT NULL,
    variant_id text NOT NULL,
    tier text NOT NULL,
    interval text NOT NULL,
    billing_anchor smallint,
    trial_ends_at timestamptz,
    renews_at timestamptz,
    ends_at timestamptz,
    resumes_at timestamptz,
    past_due_since timestamptz,
    entitled_tier text NOT NULL,
    due_at timestamptz,
    card_brand text,
    card_last_four text,
    customer_portal_url text,
    update_payment_method_url text,
    provider_created_at timestamptz NOT NULL,
    provider_updated_at timestamptz NOT NULL
);
COMMENT ON COLUMN billing.subscriptions.tier IS 'of the newest observation; in force next period';
COMMENT ON COLUMN billing.subscriptions.entitled_tier IS 'what it gives now; free: nothing';
COMMENT ON COLUMN billing.subscriptions.due_at IS 'when what it gives next changes by itself';
CREATE INDEX ix_subscriptions_user_id ON billing.subscriptions (user_id);
CREATE INDEX ix_subscriptions_customer_id ON billing.subscriptions (customer_id);
CREATE INDEX ix_subscriptions_due_at ON billing.subscriptions (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE billing.invoices (
    provider_id text PRIMARY KEY,
    user_id uuid NOT NULL,
    subscription_id text NOT NULL,
    billing_reason text NOT NULL,
    status text NOT NULL,
    total_cents bigint NOT NULL CHECK (total_cents >= 0),
    refunded_cents bigint NOT NULL CHECK (refunded_cents >= 0),
    currency text NOT NULL,
    invoice_url text,
    created_at timestamptz NOT NULL,
    provider_updated_at timestamptz NOT NULL
);
COMMENT ON COLUMN billing.invoices.subscription_id IS 'the provider''s id of it';
CREATE INDEX ix_invoices_user_id ON billing.invoices (user_id, created_at);

CREATE TABLE billing.orders (
    provider_id text PRIMARY KEY,
    user_id uuid NOT NULL,
    customer_id text NOT NULL,
    variant_id text NOT NULL,
    pack text,
    status text NOT NULL,
    total_cents bigint NOT NULL CHECK (total_cents >= 0),
    refunded_cents bigint NOT NULL CHECK (refunded_cents >= 0),
    currency text NOT NULL,
    receipt_url text,
    created_at timestamptz NOT NULL,
    provider_updated_at timestamptz NOT NULL
);
COMMENT ON COLUMN billing.orders.pack IS 'the pack of credits; null: the first order of a plan';
CREATE INDEX ix_orders_user_id ON billing.orders (user_id, created_at);
CREATE INDEX ix_orders_customer_id ON billing.orders (customer_id);

CREATE TABLE billing.take_backs (
    grant_key text NOT NULL,
    source text NOT NULL,
    user_id uuid NOT NULL,
    asked bigint NOT NULL CHECK (asked > 0),
    PRIMARY KEY (grant_key, source)
);
COMMENT ON TABLE billing.take_backs IS
    'milli-credits of a grant that partial refunds of an invoice or order have asked back so far';
