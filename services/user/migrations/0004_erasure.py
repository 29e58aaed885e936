"""Erasures and exports of accounts: what was asked for, and how far it came."""

from pathlib import Path

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role
from libs.db.sql_files import run_sql_file

revision = "user_0004"
down_revision = "user_0003"
branch_labels = None
depends_on = None

OWN_ADDRESS = (
    "recipient = (SELECT u.email FROM identity.users u WHERE u.id = (SELECT ops.current_tenant()))"
)
SHOWN = {
    "identity.users": "id, email, display_name, role, created_at, email_verified_at, suspended_at",
    "identity.sessions": "id, user_id, created_at, refreshed_at, revoked_at, user_agent, network",
    "identity.identities": "id, user_id, provider, subject, email, created_at, last_used_at",
}


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    op.execute("GRANT USAGE ON SCHEMA identity TO easel_account")
    for table in ("identity.erasures", "identity.exports"):
        isolate_tenants(table)
        open_to_role(table, "easel_account")
        grant("SELECT, INSERT", table, "easel_user")
        grant("SELECT, UPDATE", table, "easel_account")
    grant("DELETE", "identity.exports", "easel_account")
    grant("DELETE", "identity.users", "easel_user")
    for table, columns in SHOWN.items():
        grant(f"SELECT ({columns})", table, "easel_account")
    # the function runs as the owner, who meets what was written to the tenant's address alone
    for command in ("SELECT", "DELETE"):
        open_to_role("ops.emails", "easel_owner", command, OWN_ADDRESS)
    grant("EXECUTE", "FUNCTION identity.forget_letters()", "easel_user")
