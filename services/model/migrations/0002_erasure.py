"""A user's own models can be deleted, inside that user's transaction."""

from libs.db.row_security import grant

revision = "model_0002"
down_revision = "model_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("DELETE", "models.models", "easel_model")
