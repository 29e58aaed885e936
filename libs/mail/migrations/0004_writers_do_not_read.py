"""Who queues e-mails does not read them: a link that opens an account is nobody's business else."""

from alembic import op

revision = "mail_0004"
down_revision = "mail_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("REVOKE SELECT ON ops.emails FROM easel_user, easel_payment")
