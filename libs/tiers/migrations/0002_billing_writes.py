"""The billing worker changes a user's tier, inside that user's transaction."""

from libs.db.row_security import grant

revision = "tiers_0002"
down_revision = "tiers_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("SELECT, INSERT, UPDATE", "ops.entitlements", "easel_billing")
