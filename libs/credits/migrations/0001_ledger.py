"""Accounts, grants, holds and transfers, and the functions that alone may write them."""

from pathlib import Path

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role
from libs.db.sql_files import run_sql_file

revision = "credits_0001"
down_revision = None
branch_labels = None
depends_on = None

HERE = Path(__file__).parent
TENANT_TABLES = ("accounts", "grants", "pockets", "holds", "transfers", "reversals", "spend_caps")
READERS = ("easel_payment", "easel_generation", "easel_worker", "easel_billing")
MAY_CALL = {
    "open_account": ("easel_user",),
    "schedule_free_month": ("easel_user", "easel_billing"),
    "grant_credits": ("easel_user", "easel_billing"),
    "set_spend_cap": ("easel_user", "easel_payment"),
    "end_grant": ("easel_billing",),
    "take_back": ("easel_billing",),
    "expire_credits": ("easel_billing",),
    "hold_credits": ("easel_generation",),
    "passed_cap": ("easel_generation",),
    "settle_hold": ("easel_generation", "easel_worker", "easel_relay"),
    "release_expired_holds": ("easel_billing",),
}


def upgrade() -> None:
    for name in ("0001_ledger.sql", "0001_verbs.sql", "0001_holds.sql"):
        run_sql_file(HERE / name)
    for table in TENANT_TABLES:
        isolate_tenants(f"credits.{table}")
        open_to_role(f"credits.{table}", "easel_billing", "SELECT")
    for name in (*TENANT_TABLES, "movements", "postings", "open_grants", "balances"):
        grant("SELECT", f"credits.{name}", *READERS)
    for function, roles in MAY_CALL.items():
        # the name alone: no verb is overloaded
        op.execute(f"GRANT EXECUTE ON FUNCTION credits.{function} TO {', '.join(roles)}")
