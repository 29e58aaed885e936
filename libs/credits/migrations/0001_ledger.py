"""Accounts, grants, holds and transfers, and the functions that alone may write them."""

from pathlib import Path

from libs.db.row_security import grant, isolate_tenants
from libs.db.sql_files import run_sql_file

revision = "credits_0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ("accounts", "grants", "holds", "transfers")


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    for table in TABLES:
        isolate_tenants(f"credits.{table}")
    readers = ("easel_payment", "easel_generation", "easel_worker")
    grant("SELECT", "credits.accounts", *readers)
    for table in ("grants", "holds", "transfers"):
        grant("SELECT", f"credits.{table}", "easel_payment")
    give = "FUNCTION credits.grant_credits(uuid, uuid, text, text, bigint, timestamptz)"
    grant("EXECUTE", give, "easel_user", "easel_payment")
    grant("EXECUTE", "FUNCTION credits.hold_credits(uuid, uuid, bigint)", "easel_generation")
    settle = "FUNCTION credits.settle_hold(uuid, uuid, bigint)"
    grant("EXECUTE", settle, "easel_generation", "easel_worker", "easel_relay")
