"""The account worker deletes the stored answers of an erased user."""

from libs.db.row_security import grant

revision = "web_0003"
down_revision = "web_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("SELECT (user_id), DELETE", "ops.idempotency_keys", "easel_account")
