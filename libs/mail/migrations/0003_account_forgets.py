"""The account worker exports and deletes what was written to a user."""

from libs.db.row_security import grant

revision = "mail_0003"
down_revision = "mail_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("SELECT, DELETE", "ops.emails", "easel_account")
