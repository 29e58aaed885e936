"""Images that their owner uploaded, and uploads under way; an index that adds up what is stored.

The gallery itself clears uploads away that were not finished: without a tenant it sees those that
ended ten minutes ago, on which no request can be working any more.
"""

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role

revision = "gallery_0003"
down_revision = "gallery_0002"
branch_labels = None
depends_on = None

OVER = "ops.current_tenant() IS NULL AND expires_at < now() - interval '10 minutes'"


def upgrade() -> None:
    add_source()
    op.execute("CREATE INDEX ix_images_storage ON gallery.images (user_id) INCLUDE (size_bytes)")
    create_uploads()
    grant("INSERT", "gallery.images", "easel_gallery")
    grant("SELECT, INSERT, DELETE", "gallery.uploads", "easel_gallery")
    isolate_tenants("gallery.uploads")
    open_to_role("gallery.uploads", "easel_gallery", "SELECT", OVER)


def add_source() -> None:
    op.execute(
        """
        ALTER TABLE gallery.images
            ADD COLUMN source text NOT NULL DEFAULT 'generation'
                CHECK (source IN ('generation', 'upload')),
            ALTER COLUMN job_id DROP NOT NULL,
            ALTER COLUMN seed DROP NOT NULL,
            ALTER COLUMN model DROP NOT NULL,
            ADD CONSTRAINT ck_images_generation CHECK (source = 'upload'
                OR (job_id IS NOT NULL AND seed IS NOT NULL AND model IS NOT NULL))
        """
    )


def create_uploads() -> None:
    op.execute(
        """
        CREATE TABLE gallery.uploads (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL,
            content_type text NOT NULL,
            size_bytes bigint NOT NULL CHECK (size_bytes > 0),
            sha256 bytea CHECK (octet_length(sha256) = 32),
            created_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX ix_uploads_user_id ON gallery.uploads (user_id)")
    op.execute("CREATE INDEX ix_uploads_expires_at ON gallery.uploads (expires_at)")
