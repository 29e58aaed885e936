"""An upload that has ended is remembered until its URL has expired: who has the URL can send again,
and what was sent is cleared away once more."""

from alembic import op

from libs.db.row_security import grant

revision = "gallery_0005"
down_revision = "gallery_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE gallery.uploads ADD COLUMN ended_at timestamptz")
    grant("UPDATE (ended_at)", "gallery.uploads", "easel_gallery")
