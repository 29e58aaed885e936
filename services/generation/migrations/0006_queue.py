"""The order of service by index, leases apart from jobs, and who may touch them."""

from pathlib import Path

from libs.db.row_security import grant, isolate_tenants, open_to_role
from libs.db.sql_files import run_sql_file

revision = "generation_0006"
down_revision = "generation_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    grant("EXECUTE", "FUNCTION generation.claim_job", "easel_worker")
    grant("EXECUTE", "FUNCTION generation.give_back", "easel_worker", "easel_relay")
    grant("EXECUTE", "FUNCTION generation.use_at", "easel_relay")
    open_to_role("generation.jobs", "easel_owner", "UPDATE")
    for table in ("generation.flows", "generation.leases"):
        isolate_tenants(table)
        open_to_role(table, "easel_owner")
    for role in ("easel_worker", "easel_relay"):
        open_to_role("generation.leases", role)
        grant("SELECT, UPDATE", "generation.leases", role)
        grant("SELECT, INSERT, UPDATE, DELETE", "generation.workers", role)
    open_to_role("generation.flows", "easel_relay")
    grant("SELECT, DELETE", "generation.flows", "easel_generation", "easel_relay")
    grant("SELECT, UPDATE", "generation.leases", "easel_generation")
    grant("SELECT", "generation.tier_clocks", "easel_relay")
    grant("SELECT, INSERT, UPDATE, DELETE", "generation.outlooks", "easel_relay")
    for table in ("generation.outlooks", "generation.workers"):
        grant("SELECT", table, "easel_generation")
