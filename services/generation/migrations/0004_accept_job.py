"""A job is accepted in one round trip: gates, limits, hold, job row, outbox, stored answer."""

from pathlib import Path

from alembic import op

from libs.db.sql_files import run_sql_file

revision = "generation_0004"
down_revision = "generation_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    op.execute("GRANT EXECUTE ON FUNCTION generation.accept_job(jsonb, jsonb) TO easel_generation")
