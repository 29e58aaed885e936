"""The account worker reads a user's own lines for an export, and tells when an erasure is over."""

from libs.db.row_security import grant

revision = "audit_0003"
down_revision = "audit_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("SELECT, INSERT", "ops.audit_log", "easel_account")
