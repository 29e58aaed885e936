"""When the provider's subscriptions are next compared with ours, and how it went last: one row."""

from alembic import op

from libs.db.row_security import grant

revision = "payment_0002"
down_revision = "payment_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE billing.reconciliation (
            single boolean PRIMARY KEY DEFAULT true CHECK (single),
            next_at timestamptz NOT NULL DEFAULT '2000-01-01 00:00+00',
            finished_at timestamptz,
            compared integer,
            repaired integer
        )
        """
    )
    op.execute("INSERT INTO billing.reconciliation DEFAULT VALUES")
    grant("SELECT, UPDATE", "billing.reconciliation", "easel_billing")
