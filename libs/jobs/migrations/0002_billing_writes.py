"""The billing worker announces changes of tier through the outbox."""

from libs.db.row_security import grant, open_to_role

revision = "jobs_0002"
down_revision = "jobs_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    open_to_role("ops.outbox", "easel_billing", "INSERT")
    grant("INSERT", "ops.outbox", "easel_billing")
