"""Whether messages about a user still wait to be sent: asked before what they lead to is erased."""

from alembic import op

from libs.db.row_security import grant, open_to_role

revision = "jobs_0003"
down_revision = "jobs_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # the function runs as the owner, whom forced row security would show nothing
    open_to_role("ops.outbox", "easel_owner", "SELECT")
    op.execute(
        """
        CREATE FUNCTION ops.outbox_names_tenant() RETURNS boolean
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
            SELECT EXISTS (
                SELECT FROM ops.outbox o WHERE ops.current_tenant()::text
                    IN (o.payload ->> 'user_id', o.payload #>> '{arguments,user_id}')
            )
        $$
        """
    )
    grant("EXECUTE", "FUNCTION ops.outbox_names_tenant()", "easel_generation")
