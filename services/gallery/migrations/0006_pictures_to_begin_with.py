"""A generation may begin with an image of its owner's: the API asks for its sides, the worker for
its file. Row security shows both the tenant's alone."""

from alembic import op

from libs.db.row_security import grant

revision = "gallery_0006"
down_revision = "gallery_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("GRANT USAGE ON SCHEMA gallery TO easel_generation")
    grant("SELECT (id, width, height)", "gallery.images", "easel_generation")
    grant("SELECT (object_key, width, height)", "gallery.images", "easel_worker")
