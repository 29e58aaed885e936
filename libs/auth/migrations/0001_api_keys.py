"""API keys, and logins that ended before their access tokens expire."""

from pathlib import Path

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role
from libs.db.sql_files import run_sql_file

revision = "auth_0001"
down_revision = None
branch_labels = None
depends_on = None

VERIFIERS = ("easel_user", "easel_payment", "easel_generation", "easel_gallery", "easel_model")


def upgrade() -> None:
    run_sql_file(Path(__file__).with_suffix(".sql"))
    isolate_tenants("ops.api_keys")
    grant("SELECT, INSERT, UPDATE (ended_at), DELETE", "ops.api_keys", "easel_user")
    # the lookup runs as the owner, whom forced row security would show nothing
    for command in ("SELECT", "UPDATE"):
        open_to_role("ops.api_keys", "easel_owner", command)
    open_to_role("ops.entitlements", "easel_owner", "SELECT")
    op.execute(f"GRANT EXECUTE ON FUNCTION ops.find_api_key(bytea) TO {', '.join(VERIFIERS)}")
    grant("SELECT", "ops.ended_logins", *VERIFIERS)
    grant("INSERT, UPDATE (forget_at), DELETE", "ops.ended_logins", "easel_user")
