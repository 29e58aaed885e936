"""The billing worker's own login role: it sees what billing needs across tenants."""

from alembic import op

revision = "db_0002"
down_revision = "db_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            CREATE ROLE easel_billing LOGIN NOINHERIT NOBYPASSRLS NOCREATEDB NOCREATEROLE;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$
        """
    )
    op.execute("GRANT USAGE ON SCHEMA ops, credits TO easel_billing")
    op.execute("GRANT EXECUTE ON FUNCTION ops.current_tenant() TO easel_billing")
