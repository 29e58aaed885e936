"""The user service tells users what they may still spend, and sees no more of the ledger."""

from alembic import op

from libs.db.row_security import grant

revision = "credits_0004"
down_revision = "credits_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION credits.balance_of_tenant(OUT available bigint, OUT held bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
            SELECT coalesce(sum(b.available), 0)::bigint, coalesce(sum(b.held), 0)::bigint
            FROM credits.balances b WHERE b.user_id = ops.current_tenant()
        $$
        """
    )
    grant("EXECUTE", "FUNCTION credits.balance_of_tenant()", "easel_user")
