"""The transactional outbox: what is to be sent once, and only if, a transaction commits."""

from alembic import op

from libs.db.row_security import force_row_security, grant, open_to_role

revision = "jobs_0001"
down_revision = None
branch_labels = None
depends_on = None

WRITERS = (
    "easel_user",
    "easel_payment",
    "easel_generation",
    "easel_gallery",
    "easel_model",
    "easel_worker",
    "easel_relay",
)


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE ops.outbox (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            kind text NOT NULL CHECK (kind IN ('task', 'event')),
            name text NOT NULL,
            payload jsonb NOT NULL,
            traceparent text,
            created_at timestamptz NOT NULL DEFAULT now(),
            claimed_until timestamptz
        )
        """
    )
    op.execute(
        """
        CREATE FUNCTION ops.notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_notify('outbox', ''); RETURN NULL; END $$
        """
    )
    op.execute(
        "CREATE TRIGGER notify_outbox AFTER INSERT ON ops.outbox"
        " FOR EACH STATEMENT EXECUTE FUNCTION ops.notify_outbox()"
    )
    force_row_security("ops.outbox")
    for role in WRITERS:
        open_to_role("ops.outbox", role, "INSERT")
    grant("INSERT", "ops.outbox", *WRITERS)
    for command in ("SELECT", "UPDATE", "DELETE"):
        open_to_role("ops.outbox", "easel_relay", command)
    grant("SELECT, UPDATE, DELETE", "ops.outbox", "easel_relay")
