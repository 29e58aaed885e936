"""Accounts at sign-in providers, and sign-ins that are under way."""

from pathlib import Path

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role
from libs.db.sql_files import run_sql_file

revision = "user_0003"
down_revision = "user_0002"
branch_labels = None
depends_on = None

PENDING = "identity.pending_registrations"


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    isolate_tenants("identity.identities")
    open_to_role("identity.identities", "easel_owner", "SELECT")
    own_address = "email = (SELECT u.email FROM identity.users u WHERE u.id = ops.current_tenant())"
    op.execute(
        f"CREATE POLICY easel_owner_own_address ON {PENDING}"
        f" FOR DELETE TO easel_owner USING ({own_address})"
    )
    grant("SELECT, INSERT, UPDATE (last_used_at), DELETE", "identity.identities", "easel_user")
    grant("SELECT, INSERT, DELETE", "identity.oauth_attempts", "easel_user")
    for function in ("find_identity_owner(text, text)", "drop_pending_registrations()"):
        grant("EXECUTE", f"FUNCTION identity.{function}", "easel_user")
