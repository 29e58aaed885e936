"""The user service shows the caps of keys, and gives the free month alone."""

from pathlib import Path

from libs.db.row_security import grant
from libs.db.sql_files import run_sql_file

revision = "credits_0003"
down_revision = "credits_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("SELECT", "credits.spend_caps", "easel_user")
    run_sql_file(Path(__file__).with_suffix(".sql"))
