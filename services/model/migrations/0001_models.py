"""The models that can be asked for, and the demo model that ships with the repository."""

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role

revision = "model_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("GRANT USAGE ON SCHEMA models TO easel_model")
    op.execute(
        """
        CREATE TABLE models.models (
            id uuid PRIMARY KEY,
            user_id uuid,
            slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
            name text NOT NULL,
            type text NOT NULL CHECK (type IN ('checkpoint', 'lora', 'controlnet', 'ip_adapter')),
            base text NOT NULL CHECK (base IN ('demo', 'sd15', 'sdxl', 'flux')),
            description text NOT NULL,
            default_width integer NOT NULL CHECK (default_width BETWEEN 64 AND 2048),
            default_height integer NOT NULL CHECK (default_height BETWEEN 64 AND 2048),
            default_steps integer NOT NULL CHECK (default_steps BETWEEN 1 AND 150),
            max_side integer NOT NULL CHECK (max_side BETWEEN 64 AND 2048),
            default_guidance double precision NOT NULL CHECK (default_guidance BETWEEN 1 AND 20),
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("COMMENT ON COLUMN models.models.user_id IS 'the owner; null for official models'")
    op.execute("CREATE INDEX ix_models_user_id ON models.models (user_id, id)")
    # before row security is forced: an official row belongs to no tenant
    op.execute(
        """
        INSERT INTO models.models (id, slug, name, type, base, description,
            default_width, default_height, max_side, default_steps, default_guidance)
        VALUES ('01938f00-0000-7000-8000-000000000001', 'demo', 'Demo', 'checkpoint', 'demo',
            'A small model that ships with Easel and draws 64 pixel pictures on any computer',
            64, 64, 256, 20, 5.0)
        """
    )
    isolate_tenants("models.models")
    open_to_role("models.models", "easel_model", "SELECT", "user_id IS NULL")
    grant("SELECT", "models.models", "easel_model")
