"""The user service tells of what no account did: a failed login with an unknown address."""

from libs.db.row_security import open_to_role

revision = "audit_0002"
down_revision = "audit_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    open_to_role("ops.audit_log", "easel_user", "INSERT", "user_id IS NULL")
