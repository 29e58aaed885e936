"""The schema of customer webhooks; `libs.webhooks` makes its tables."""

from alembic import op

revision = "db_0004"
down_revision = "db_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS webhooks")
    op.execute("ALTER SCHEMA webhooks OWNER TO easel_owner")
