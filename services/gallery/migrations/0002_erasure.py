"""Images can be deleted, by the gallery alone and inside their owner's transaction."""

from libs.db.row_security import grant

revision = "gallery_0002"
down_revision = "gallery_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("DELETE", "gallery.images", "easel_gallery")
