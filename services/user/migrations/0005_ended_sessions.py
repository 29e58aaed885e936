"""Login sessions that cannot come back are forgotten, with where they came from."""

from libs.db.row_security import grant

revision = "user_0005"
down_revision = "user_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("DELETE", "identity.sessions", "easel_user")
