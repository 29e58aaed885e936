"""The job table (the queue of record), the clocks of fair queueing, and who may touch them."""

from pathlib import Path

from alembic import op

from libs.db.row_security import force_row_security, grant, isolate_tenants, open_to_role
from libs.db.sql_files import run_sql_file

revision = "generation_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    op.execute("GRANT USAGE ON SCHEMA generation TO easel_generation, easel_worker, easel_relay")
    isolate_tenants("generation.jobs")
    grant("SELECT, INSERT, UPDATE", "generation.jobs", "easel_generation")
    for role in ("easel_worker", "easel_relay"):
        grant("SELECT, UPDATE", "generation.jobs", role)
        open_to_role("generation.jobs", role, "SELECT")
        open_to_role("generation.jobs", role, "UPDATE")
    open_to_role("generation.jobs", "easel_owner", "SELECT")
    grant("EXECUTE", "FUNCTION generation.queue_outlook(text)", "easel_generation")
    grant("SELECT, UPDATE", "generation.pool_clocks", "easel_worker")
    grant("SELECT, INSERT, UPDATE", "generation.tier_clocks", "easel_worker")
    grant("SELECT, INSERT, UPDATE", "generation.user_clocks", "easel_worker")
    force_row_security("generation.user_clocks")
    open_to_role("generation.user_clocks", "easel_worker")
