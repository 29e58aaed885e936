"""Users, their login sessions, and the two lookups that come before a tenant is known."""

from pathlib import Path

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role
from libs.db.sql_files import run_sql_file

revision = "user_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    op.execute("GRANT USAGE ON SCHEMA identity TO easel_user")
    isolate_tenants("identity.users", column="id")
    isolate_tenants("identity.sessions")
    isolate_tenants("identity.refresh_tokens")
    grant("SELECT, INSERT, UPDATE (display_name, password_hash)", "identity.users", "easel_user")
    grant("SELECT, INSERT, UPDATE (refreshed_at, revoked_at)", "identity.sessions", "easel_user")
    grant("SELECT, INSERT, UPDATE (used_at), DELETE", "identity.refresh_tokens", "easel_user")
    # the lookup functions run as the owner, whom forced row security would show nothing
    open_to_role("identity.users", "easel_owner", "SELECT")
    open_to_role("identity.refresh_tokens", "easel_owner", "SELECT")
    grant("EXECUTE", "FUNCTION identity.find_login(text)", "easel_user")
    grant("EXECUTE", "FUNCTION identity.find_token_owner(bytea)", "easel_user")
