"""The tier of each paying user; no row means free."""

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role

revision = "tiers_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE ops.entitlements (
            user_id uuid PRIMARY KEY,
            tier text NOT NULL CHECK (tier IN ('free', 'starter', 'pro', 'studio', 'enterprise')),
            updated_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    isolate_tenants("ops.entitlements")
    readers = ("easel_user", "easel_generation", "easel_gallery", "easel_model", "easel_worker")
    grant("SELECT", "ops.entitlements", *readers)
    grant("SELECT, INSERT, UPDATE", "ops.entitlements", "easel_payment")
    open_to_role("ops.entitlements", "easel_worker", "SELECT")
