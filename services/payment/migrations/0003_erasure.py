"""Webhooks are found by the user whom they name, and lose their text when that user is erased."""

from alembic import op

from libs.db.row_security import grant

revision = "payment_0003"
down_revision = "payment_0002"
branch_labels = None
depends_on = None

NAMED = r"""substring(convert_from(body, 'UTF8') FROM '"user_id"\s*:\s*"([0-9a-fA-F-]{36})"')"""


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE billing.inbox
            ADD COLUMN named_user_id uuid,
            ALTER COLUMN body DROP NOT NULL,
            ADD CONSTRAINT ck_inbox_body
                CHECK (body IS NOT NULL OR state IN ('applied', 'ignored'))
        """
    )
    op.execute(
        "COMMENT ON COLUMN billing.inbox.named_user_id IS 'whom the checkout named, if anybody'"
    )
    op.execute("COMMENT ON COLUMN billing.inbox.body IS 'NULL: whom it named was erased'")
    # the owner, too, sees no row of a forced table
    op.execute("ALTER TABLE billing.inbox NO FORCE ROW LEVEL SECURITY")
    op.execute(f"UPDATE billing.inbox SET named_user_id = CAST({NAMED} AS uuid)")
    op.execute("ALTER TABLE billing.inbox FORCE ROW LEVEL SECURITY")
    op.execute("CREATE INDEX ix_inbox_named_user_id ON billing.inbox (named_user_id)")
    op.execute("CREATE INDEX ix_inbox_subject ON billing.inbox (subject)")
    grant("DELETE", "billing.observations", "easel_billing")
