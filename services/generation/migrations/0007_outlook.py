"""Estimates and admission: a job is told when it starts, or that it would not start in time."""

from pathlib import Path

from libs.db.row_security import grant
from libs.db.sql_files import run_sql_file

revision = "generation_0007"
down_revision = "generation_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    grant("SELECT", "generation.tier_clocks", "easel_generation")
    for function in (
        "accept_job(jsonb, jsonb, jsonb)",
        "tell_wait(jsonb, text, float8, float8, bigint, text)",
        "dead_letters(integer, uuid)",
        "find_owner(uuid)",
    ):
        grant("EXECUTE", f"FUNCTION generation.{function}", "easel_generation")
    grant("INSERT", "ops.audit_log", "easel_generation")
