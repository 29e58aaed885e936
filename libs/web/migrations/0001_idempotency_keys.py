"""Answers that are kept for a repeated request with the same Idempotency-Key."""

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role

revision = "web_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE ops.idempotency_keys (
            user_id uuid NOT NULL,
            operation text NOT NULL,
            key text NOT NULL,
            request_hash text NOT NULL,
            status smallint NOT NULL,
            headers jsonb NOT NULL,
            body jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (user_id, operation, key)
        )
        """
    )
    op.execute("CREATE INDEX ix_idempotency_keys_created_at ON ops.idempotency_keys (created_at)")
    isolate_tenants("ops.idempotency_keys")
    services = ("easel_user", "easel_payment", "easel_generation", "easel_gallery", "easel_model")
    grant("SELECT, INSERT", "ops.idempotency_keys", *services)
    grant("SELECT (created_at), DELETE", "ops.idempotency_keys", "easel_relay")
    open_to_role("ops.idempotency_keys", "easel_relay", "SELECT")
    open_to_role("ops.idempotency_keys", "easel_relay", "DELETE")
