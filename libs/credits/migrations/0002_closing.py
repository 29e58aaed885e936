"""An account can be closed: its credits end, nothing is given any more, and its history stays."""

from pathlib import Path

from alembic import op

from libs.db.sql_files import run_sql_file

revision = "credits_0002"
down_revision = "credits_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    op.execute("GRANT EXECUTE ON FUNCTION credits.close_account TO easel_billing")
