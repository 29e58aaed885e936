"""E-mails to be sent once, and only if, the transaction that wrote them commits."""

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role

revision = "mail_0001"
down_revision = None
branch_labels = None
depends_on = None

# They write to their own tenant alone; the billing worker writes to anybody and sends.
WRITERS = ("easel_user", "easel_payment")
SENDER = "easel_billing"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE ops.emails (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            key text NOT NULL CONSTRAINT uq_emails_key UNIQUE,
            user_id uuid,
            recipient text NOT NULL,
            subject text NOT NULL,
            text text NOT NULL,
            html text,
            state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'failed')),
            attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
            next_try_at timestamptz NOT NULL,
            error text,
            created_at timestamptz NOT NULL,
            sent_at timestamptz,
            CONSTRAINT ck_emails_sent_at CHECK ((state = 'sent') = (sent_at IS NOT NULL))
        )
        """
    )
    op.execute("CREATE INDEX ix_emails_due ON ops.emails (next_try_at) WHERE state = 'pending'")
    op.execute("CREATE INDEX ix_emails_user_id ON ops.emails (user_id)")
    isolate_tenants("ops.emails")
    grant("INSERT", "ops.emails", *WRITERS, SENDER)
    grant("SELECT", "ops.emails", *WRITERS, SENDER)
    grant("UPDATE (state, attempts, next_try_at, error, sent_at)", "ops.emails", SENDER)
    for command in ("INSERT", "SELECT", "UPDATE"):
        open_to_role("ops.emails", SENDER, command)
