"""The account worker's own login role: it erases and exports, one user at a time."""

from alembic import op

revision = "db_0003"
down_revision = "db_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            CREATE ROLE easel_account LOGIN NOINHERIT NOBYPASSRLS NOCREATEDB NOCREATEROLE;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$
        """
    )
    op.execute("GRANT USAGE ON SCHEMA ops TO easel_account")
    op.execute("GRANT EXECUTE ON FUNCTION ops.current_tenant() TO easel_account")
