"""Admins' requests, which run as the billing role, are answered once a key, too."""

from libs.db.row_security import grant

revision = "web_0002"
down_revision = "web_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("SELECT, INSERT", "ops.idempotency_keys", "easel_billing")
