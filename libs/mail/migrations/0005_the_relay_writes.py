"""The relay tells a user that a webhook was switched off; in that user's tenant alone."""

from libs.db.row_security import grant

revision = "mail_0005"
down_revision = "mail_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("INSERT", "ops.emails", "easel_relay")
