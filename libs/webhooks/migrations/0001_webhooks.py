"""Endpoints, their secrets and the deliveries to them, and who may touch what of it."""

from pathlib import Path

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role
from libs.db.sql_files import run_sql_file

revision = "webhooks_0001"
down_revision = None
branch_labels = None
depends_on = None

OWNERS, WORKER, SENDER = "easel_generation", "easel_worker", "easel_relay"


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    op.execute(f"GRANT USAGE ON SCHEMA webhooks TO {OWNERS}, {WORKER}, {SENDER}")
    for table in ("endpoints", "secrets", "deliveries"):
        isolate_tenants(f"webhooks.{table}")
    let_owners_manage()
    # UPDATE of a column is what SELECT ... FOR KEY SHARE asks for: who tells of an end keeps the
    # endpoint from being deleted until the delivery is there.
    grant("SELECT, UPDATE (failing_since)", "webhooks.endpoints", WORKER)
    grant("INSERT", "webhooks.deliveries", WORKER, SENDER)
    let_the_relay_send()


def let_owners_manage() -> None:
    """Nobody who answers users reads a secret: it is written, and ended."""
    changes = "url, description, events, all_jobs, failing_since, disabled_at, disabled_reason"
    grant(f"SELECT, INSERT, UPDATE ({changes}), DELETE", "webhooks.endpoints", OWNERS)
    shown = "id, user_id, endpoint_id, created_at, expires_at"
    grant(f"SELECT ({shown}), INSERT, UPDATE (expires_at)", "webhooks.secrets", OWNERS)
    again = "state, tries, next_try_at, finished_at"
    grant(f"SELECT, INSERT, UPDATE ({again})", "webhooks.deliveries", OWNERS)


def let_the_relay_send() -> None:
    judged = "failing_since, disabled_at, disabled_reason"
    grant(f"SELECT, UPDATE ({judged})", "webhooks.endpoints", SENDER)
    grant("SELECT, DELETE", "webhooks.secrets", SENDER)
    tried = "state, attempt, tries, next_try_at, leased_until, log, finished_at"
    grant(f"SELECT, UPDATE ({tried}), DELETE", "webhooks.deliveries", SENDER)
    for table, commands in {
        "endpoints": ("SELECT", "UPDATE"),
        "secrets": ("SELECT", "DELETE"),
        "deliveries": ("SELECT", "UPDATE", "DELETE"),
    }.items():
        for command in commands:
            open_to_role(f"webhooks.{table}", SENDER, command)
