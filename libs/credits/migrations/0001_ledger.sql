-- The ledger. Every movement is one row of `transfers` with a debit and a credit side, so every
-- transaction sums to zero by construction (after TigerBeetle's data model). `accounts` is the
-- running balance that the checks guard; `holds` and `grants` are the two things with a life.
CREATE TABLE credits.accounts (
    user_id uuid PRIMARY KEY,
    available bigint NOT NULL DEFAULT 0 CHECK (available >= 0),
    held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE credits.grants (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    key text NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('plan', 'trial', 'top_up', 'promotion', 'admin')),
    amount bigint NOT NULL CHECK (amount > 0),
    remaining bigint NOT NULL CHECK (remaining BETWEEN 0 AND amount),
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX ix_grants_burn_order ON credits.grants (user_id, expires_at, created_at)
    WHERE remaining > 0;

CREATE TABLE credits.holds (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    captured bigint CONSTRAINT captured_within_hold CHECK (captured BETWEEN 0 AND amount),
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    CHECK ((captured IS NULL) = (settled_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX ix_holds_open ON credits.holds (user_id) WHERE settled_at IS NULL;

CREATE TABLE credits.transfers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('grant', 'hold', 'capture', 'release')),
    debit text NOT NULL,
    credit text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    reference uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (reference, kind),
    CHECK ((kind, debit, credit) IN (
        ('grant', 'grants', 'available'),
        ('hold', 'available', 'held'),
        ('capture', 'held', 'revenue'),
        ('release', 'held', 'available')
    ))
);
CREATE INDEX ix_transfers_user_id ON credits.transfers (user_id, id);

CREATE FUNCTION credits.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credits.transfers
    FOR EACH STATEMENT EXECUTE FUNCTION credits.refuse_change();

-- Give credits. 'granted', or 'replayed' if the business key was granted before.
CREATE FUNCTION credits.grant_credits(
    p_user uuid, p_id uuid, p_key text, p_kind text, p_amount bigint, p_expires timestamptz
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO credits.grants (id, user_id, key, kind, amount, remaining, expires_at)
        VALUES (p_id, p_user, p_key, p_kind, p_amount, p_amount, p_expires)
        ON CONFLICT (key) DO NOTHING;
    IF NOT FOUND THEN RETURN 'replayed'; END IF;
    INSERT INTO credits.accounts AS a (user_id, available) VALUES (p_user, p_amount)
        ON CONFLICT (user_id) DO UPDATE
        SET available = a.available + excluded.available, updated_at = now();
    INSERT INTO credits.transfers (user_id, kind, debit, credit, amount, reference)
        VALUES (p_user, 'grant', 'grants', 'available', p_amount, p_id);
    RETURN 'granted';
END $$;

-- Set credits aside. 'held', 'replayed' (same id), or 'insufficient'; never oversells.
CREATE FUNCTION credits.hold_credits(p_user uuid, p_hold uuid, p_amount bigint)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM credits.holds WHERE id = p_hold) THEN RETURN 'replayed'; END IF;
    UPDATE credits.accounts
        SET available = available - p_amount, held = held + p_amount, updated_at = now()
        WHERE user_id = p_user AND available >= p_amount;
    IF NOT FOUND THEN RETURN 'insufficient'; END IF;
    INSERT INTO credits.holds (id, user_id, amount) VALUES (p_hold, p_user, p_amount);
    INSERT INTO credits.transfers (user_id, kind, debit, credit, amount, reference)
        VALUES (p_user, 'hold', 'available', 'held', p_amount, p_hold);
    RETURN 'held';
END $$;

-- Take captured credits from grants: earliest expiry first, then oldest.
CREATE FUNCTION credits.burn_grants(p_user uuid, p_amount bigint)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missing bigint := p_amount;
    g record;
BEGIN
    FOR g IN SELECT id, remaining FROM credits.grants
        WHERE user_id = p_user AND remaining > 0
        ORDER BY expires_at NULLS LAST, created_at, id FOR UPDATE
    LOOP
        EXIT WHEN missing = 0;
        UPDATE credits.grants SET remaining = remaining - least(missing, g.remaining)
            WHERE id = g.id;
        missing := missing - least(missing, g.remaining);
    END LOOP;
    IF missing > 0 THEN RAISE EXCEPTION 'grants of % do not cover a capture', p_user; END IF;
END $$;

-- End a hold: capture a part, release the rest. 'settled', 'replayed' (ended before) or 'unknown'.
CREATE FUNCTION credits.settle_hold(p_user uuid, p_hold uuid, p_captured bigint)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held_amount bigint;
BEGIN
    UPDATE credits.holds SET captured = p_captured, settled_at = now()
        WHERE id = p_hold AND user_id = p_user AND settled_at IS NULL
        RETURNING amount INTO held_amount;
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM credits.holds WHERE id = p_hold) THEN RETURN 'replayed'; END IF;
        RETURN 'unknown';
    END IF;
    UPDATE credits.accounts
        SET held = held - held_amount, available = available + held_amount - p_captured,
            updated_at = now()
        WHERE user_id = p_user;
    IF p_captured > 0 THEN
        PERFORM credits.burn_grants(p_user, p_captured);
        INSERT INTO credits.transfers (user_id, kind, debit, credit, amount, reference)
            VALUES (p_user, 'capture', 'held', 'revenue', p_captured, p_hold);
    END IF;
    IF held_amount > p_captured THEN
        INSERT INTO credits.transfers (user_id, kind, debit, credit, amount, reference)
            VALUES (p_user, 'release', 'held', 'available', held_amount - p_captured, p_hold);
    END IF;
    RETURN 'settled';
END $$;
