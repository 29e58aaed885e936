"""Who tells a user of something by e-mail asks for the tenant's own address, and for no other."""

from alembic import op

from libs.db.row_security import grant

revision = "user_0006"
down_revision = "user_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION identity.address_of_tenant() RETURNS text
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
            SELECT u.email FROM identity.users u WHERE u.id = ops.current_tenant()
        $$
        """
    )
    op.execute("GRANT USAGE ON SCHEMA identity TO easel_relay")
    grant("EXECUTE", "FUNCTION identity.address_of_tenant()", "easel_relay")
