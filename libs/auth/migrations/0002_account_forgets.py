"""The account worker exports a user's API keys, not their hashes, and deletes them."""

from libs.db.row_security import grant

revision = "auth_0002"
down_revision = "auth_0001"
branch_labels = None
depends_on = None

SHOWN = "id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, ended_at"


def upgrade() -> None:
    grant(f"SELECT ({SHOWN}), DELETE", "ops.api_keys", "easel_account")
