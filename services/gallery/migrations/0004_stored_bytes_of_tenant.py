"""The user service tells users how much they store, and sees no image."""

from alembic import op

from libs.db.row_security import grant

revision = "gallery_0004"
down_revision = "gallery_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION gallery.stored_bytes_of_tenant() RETURNS bigint
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
            SELECT coalesce(sum(i.size_bytes), 0)::bigint
            FROM gallery.images i WHERE i.user_id = ops.current_tenant()
        $$
        """
    )
    op.execute("GRANT USAGE ON SCHEMA gallery TO easel_user")
    grant("EXECUTE", "FUNCTION gallery.stored_bytes_of_tenant()", "easel_user")
