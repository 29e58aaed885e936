"""The user service tells users how much of their plan they use, and sees no job."""

from alembic import op

from libs.db.row_security import grant

revision = "generation_0005"
down_revision = "generation_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION generation.usage_of_tenant(
            OUT waiting bigint, OUT running bigint, OUT created_in_an_hour bigint
        )
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
            SELECT count(*) FILTER (WHERE j.state = 'queued'),
                count(*) FILTER (WHERE j.state = 'running'),
                count(*) FILTER (WHERE j.created_at > now() - interval '1 hour')
            FROM generation.jobs j
            WHERE j.user_id = ops.current_tenant() AND (
                j.state IN ('queued', 'running') OR j.created_at > now() - interval '1 hour')
        $$
        """
    )
    op.execute("GRANT USAGE ON SCHEMA generation TO easel_user")
    grant("EXECUTE", "FUNCTION generation.usage_of_tenant()", "easel_user")
