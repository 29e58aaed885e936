"""The audit log: who changed money, access or roles; rows are added and never changed."""

from alembic import op

from libs.db.row_security import grant, isolate_tenants, open_to_role

revision = "audit_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE ops.audit_log (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT now(),
            actor text NOT NULL,
            action text NOT NULL,
            subject text NOT NULL,
            user_id uuid,
            details jsonb NOT NULL DEFAULT '{}'
        )
        """
    )
    op.execute("CREATE INDEX ix_audit_log_user_id ON ops.audit_log (user_id, id)")
    op.execute(
        """
        CREATE FUNCTION ops.refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
        """
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.audit_log"
        " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_audit_change()"
    )
    isolate_tenants("ops.audit_log")
    open_to_role("ops.audit_log", "easel_billing", "INSERT")
    grant("INSERT", "ops.audit_log", "easel_user", "easel_payment", "easel_billing")
