"""Billing takes the tier of an erased user away, inside that user's transaction."""

from libs.db.row_security import grant

revision = "tiers_0003"
down_revision = "tiers_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("DELETE", "ops.entitlements", "easel_billing")
