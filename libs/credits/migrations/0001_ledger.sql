-- The ledger. A grant is an account of its own; every movement is one row of `transfers` between
-- two accounts (`movements` names both sides), so that every transaction sums to zero by
-- construction (after TigerBeetle's data model). `pockets` and `holds` are what the transfers add up
-- to, kept beside them for the CHECKs that refuse a wrong movement; the audit compares.
CREATE TABLE credits.accounts (
    user_id uuid PRIMARY KEY,
    opened_at timestamptz NOT NULL,
    next_free_at timestamptz
);
COMMENT ON COLUMN credits.accounts.next_free_at IS 'when a free month is due; null on a paid plan';
CREATE INDEX ix_accounts_next_free_at ON credits.accounts (next_free_at);

-- A grant as it was given, for ever; what is left of it lies in its pockets.
CREATE TABLE credits.grants (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    key text NOT NULL UNIQUE,
    kind text NOT NULL
        CHECK (kind IN ('free', 'plan', 'trial', 'top_up', 'promotion', 'admin')),
    amount bigint NOT NULL CHECK (amount > 0),
    expires_at timestamptz,
    owed bigint NOT NULL DEFAULT 0 CHECK (owed >= 0),
    ending text CHECK (ending IN ('expired', 'replaced', 'refunded')),
    ended_at timestamptz,
    created_at timestamptz NOT NULL,
    CHECK ((ending IS NULL) = (ended_at IS NULL))
);
COMMENT ON COLUMN credits.grants.owed IS
    'what a refund could not take back, since it was held: taken when it is released';
CREATE INDEX ix_grants_user_id ON credits.grants (user_id, created_at);
CREATE INDEX ix_grants_expires_at ON credits.grants (expires_at) WHERE ended_at IS NULL;

-- What is left of the grants that have not ended. A large grant lies in several pockets, so that
-- parallel holds of one user do not wait for each other; ending a grant deletes its pockets.
-- `remaining` stands in no index: spending rewrites no index entry (HOT updates).
CREATE TABLE credits.pockets (
    grant_id uuid NOT NULL,
    pocket smallint NOT NULL,
    pockets smallint NOT NULL CHECK (pocket < pockets),
    user_id uuid NOT NULL,
    remaining bigint NOT NULL CONSTRAINT never_negative CHECK (remaining >= 0),
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    owing boolean NOT NULL DEFAULT false,
    PRIMARY KEY (grant_id, pocket)
) WITH (fillfactor = 50);
CREATE INDEX ix_pockets_burn_order
    ON credits.pockets (user_id, expires_at, created_at, grant_id, pocket);

-- Open holds alone, so few: settling one deletes its row; what became of it stands in `transfers`.
CREATE TABLE credits.holds (
    user_id uuid NOT NULL,
    id uuid NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    grant_ids uuid[] NOT NULL,
    pockets smallint[] NOT NULL,
    parts bigint[] NOT NULL,
    model text,
    key_id uuid,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (user_id, id)
);

CREATE TABLE credits.movements (
    kind text PRIMARY KEY,
    debit text NOT NULL,
    credit text NOT NULL,
    CHECK (debit <> credit)
);
COMMENT ON TABLE credits.movements IS
    'the two sides of a transfer: amount leaves the debit account and reaches the credit account';
INSERT INTO credits.movements VALUES
    ('grant', 'issued', 'grant'),
    ('hold', 'grant', 'held'),
    ('capture', 'held', 'revenue'),
    ('release', 'held', 'grant'),
    ('expire', 'grant', 'expired'),
    ('reverse', 'grant', 'reversed');

CREATE TABLE credits.transfers (
    user_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL
        CHECK (kind IN ('grant', 'hold', 'capture', 'release', 'expire', 'reverse')),
    grant_id uuid NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    reference uuid NOT NULL,
    part smallint NOT NULL DEFAULT 1,
    model text,
    key_id uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, id),
    CONSTRAINT once_a_reference UNIQUE (reference, kind, part)
);
COMMENT ON COLUMN credits.transfers.part IS 'a hold of several grants has as many parts';
CREATE INDEX ix_transfers_captures ON credits.transfers (user_id, created_at)
    WHERE kind = 'capture';

-- Partial refunds that were applied, each once.
CREATE TABLE credits.reversals (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL
);

CREATE TABLE credits.spend_caps (
    user_id uuid NOT NULL,
    key_id uuid NOT NULL,
    period text NOT NULL CHECK (period IN ('day', 'month', 'total')),
    millicredits bigint NOT NULL CHECK (millicredits >= 0),
    PRIMARY KEY (user_id, key_id, period)
);
COMMENT ON COLUMN credits.spend_caps.key_id IS 'an API key, or zeros: all that the user spends';

CREATE FUNCTION credits.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credits.transfers
    FOR EACH STATEMENT EXECUTE FUNCTION credits.refuse_change();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON credits.grants
    FOR EACH STATEMENT EXECUTE FUNCTION credits.refuse_change();

-- The two postings of each transfer; what is left of each grant; what each user can spend and
-- has set aside.
CREATE VIEW credits.postings WITH (security_invoker = true) AS
    SELECT t.user_id, t.id AS transfer_id, t.kind, t.grant_id, t.reference, t.created_at,
        side.account, side.amount
    FROM credits.transfers t JOIN credits.movements m ON m.kind = t.kind
    CROSS JOIN LATERAL (VALUES (m.debit, -t.amount), (m.credit, t.amount)) side (account, amount);
CREATE VIEW credits.open_grants WITH (security_invoker = true) AS
    SELECT g.id, g.user_id, g.key, g.kind, g.amount, sum(p.remaining)::bigint AS remaining,
        g.expires_at, g.created_at
    FROM credits.grants g JOIN credits.pockets p ON p.grant_id = g.id GROUP BY g.id;
CREATE VIEW credits.balances WITH (security_invoker = true) AS
    SELECT user_id, sum(available)::bigint AS available, sum(held)::bigint AS held FROM (
        SELECT user_id, remaining AS available, 0 AS held FROM credits.pockets
            WHERE expires_at IS NULL OR expires_at > now()
        UNION ALL SELECT user_id, 0, amount FROM credits.holds
    ) parts GROUP BY user_id;
