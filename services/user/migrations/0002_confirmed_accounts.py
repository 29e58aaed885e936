"""Registrations that wait for their e-mail, password resets, suspension, and what staff may see."""

from pathlib import Path

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role
from libs.db.sql_files import run_sql_file

revision = "user_0002"
down_revision = "user_0001"
branch_labels = None
depends_on = None

PENDING = "identity.pending_registrations"
RESETS = "identity.password_resets"
STAFF = "identity.tenant_is_staff(ARRAY['support', 'admin'])"
ADMIN = "identity.tenant_is_staff(ARRAY['admin'])"


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    for table in (PENDING, RESETS):
        isolate_tenants(table)
        open_to_role(table, "easel_owner", "SELECT")
        open_to_role(table, "easel_owner", "DELETE", "expires_at < now()")
    grant("SELECT, INSERT, UPDATE (tries), DELETE", PENDING, "easel_user")
    changes = "UPDATE (token_hash, created_at, expires_at)"
    grant(f"SELECT, INSERT, {changes}, DELETE", RESETS, "easel_user")
    open_to_role("identity.users", "easel_owner", "UPDATE")
    let_staff_read()
    for function in (
        "find_pending_owner(bytea)",
        "find_reset_owner(bytea)",
        "forget_expired_requests()",
        "tenant_is_staff(text[])",
        "change_access(uuid, text, boolean, timestamptz)",
    ):
        grant("EXECUTE", f"FUNCTION identity.{function}", "easel_user")


def let_staff_read() -> None:
    """Accounts and plans for support and administrators, the audit log for administrators."""
    # a sub-select: evaluated once a statement
    open_to_role("identity.users", "easel_user", "SELECT", f"(SELECT {STAFF})")
    open_to_role("ops.entitlements", "easel_user", "SELECT", f"(SELECT {STAFF})")
    open_to_role("ops.audit_log", "easel_user", "SELECT", f"(SELECT {ADMIN})")
    op.execute("GRANT SELECT ON ops.audit_log TO easel_user")
