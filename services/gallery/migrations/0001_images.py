"""Images, boards, and which image is on which board."""

from alembic import op

from libs.db.row_security import grant, isolate_tenants

revision = "gallery_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("GRANT USAGE ON SCHEMA gallery TO easel_gallery, easel_worker")
    create_images()
    create_boards()
    create_board_images()
    for table in ("images", "boards", "board_images"):
        isolate_tenants(f"gallery.{table}")
    grant("SELECT, UPDATE (starred)", "gallery.images", "easel_gallery")
    grant("SELECT, INSERT, UPDATE (name), DELETE", "gallery.boards", "easel_gallery")
    grant("SELECT, INSERT, DELETE", "gallery.board_images", "easel_gallery")
    # SELECT (id) is what ON CONFLICT (id) needs to see that an image is there already
    grant("INSERT, SELECT (id)", "gallery.images", "easel_worker")


def create_images() -> None:
    # No GIN index on `search`: the text match is not leakproof, so row security forbids using it
    # before the tenant is checked. A search walks one user's rows and reads the stored vector.
    op.execute(
        """
        CREATE TABLE gallery.images (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL,
            job_id uuid NOT NULL,
            object_key text NOT NULL UNIQUE,
            thumbnail_key text NOT NULL,
            format text NOT NULL CHECK (format IN ('png', 'jpeg', 'webp')),
            width integer NOT NULL CHECK (width > 0),
            height integer NOT NULL CHECK (height > 0),
            size_bytes bigint NOT NULL CHECK (size_bytes > 0),
            seed bigint NOT NULL CHECK (seed BETWEEN 0 AND 4294967295),
            model text NOT NULL,
            prompt text NOT NULL,
            negative_prompt text NOT NULL,
            parameters jsonb NOT NULL,
            manifest jsonb NOT NULL,
            starred boolean NOT NULL DEFAULT false,
            created_at timestamptz NOT NULL,
            search tsvector NOT NULL
                GENERATED ALWAYS AS (to_tsvector('pg_catalog.simple', prompt)) STORED,
            CONSTRAINT uq_images_user_id_id UNIQUE (user_id, id)
        )
        """
    )
    op.execute("CREATE INDEX ix_images_starred ON gallery.images (user_id, id) WHERE starred")
    op.execute("CREATE INDEX ix_images_job_id ON gallery.images (job_id)")


def create_boards() -> None:
    op.execute(
        """
        CREATE TABLE gallery.boards (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL,
            name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 80),
            created_at timestamptz NOT NULL,
            CONSTRAINT uq_boards_user_id_name UNIQUE (user_id, name),
            CONSTRAINT uq_boards_user_id_id UNIQUE (user_id, id)
        )
        """
    )


def create_board_images() -> None:
    # The composite keys name the tenant on both sides: nobody can pin another user's image.
    op.execute(
        """
        CREATE TABLE gallery.board_images (
            user_id uuid NOT NULL,
            board_id uuid NOT NULL,
            image_id uuid NOT NULL,
            PRIMARY KEY (user_id, board_id, image_id),
            FOREIGN KEY (user_id, board_id) REFERENCES gallery.boards (user_id, id)
                ON DELETE CASCADE,
            FOREIGN KEY (user_id, image_id) REFERENCES gallery.images (user_id, id)
                ON DELETE CASCADE
        )
        """
    )
    op.execute("CREATE INDEX ix_board_images_image_id ON gallery.board_images (user_id, image_id)")
