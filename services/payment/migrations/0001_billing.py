"""The inbox of webhooks, what was observed of the provider, and who may read it."""

from pathlib import Path

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role
from libs.db.sql_files import run_sql_file

revision = "payment_0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ("inbox", "observations", "subscriptions", "invoices", "orders", "take_backs")
SHOWN_TO_THEIR_OWNER = ("subscriptions", "invoices", "orders")


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    op.execute("GRANT USAGE ON SCHEMA billing TO easel_payment, easel_billing")
    for table in TABLES:
        isolate_tenants(f"billing.{table}")
        open_to_role(f"billing.{table}", "easel_billing")
        grant("SELECT, INSERT, UPDATE", f"billing.{table}", "easel_billing")
    for table in SHOWN_TO_THEIR_OWNER:
        grant("SELECT", f"billing.{table}", "easel_payment")
