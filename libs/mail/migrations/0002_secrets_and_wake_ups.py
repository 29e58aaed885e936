"""E-mails wake their sender; what holds a secret is forgotten once it is sent."""

from alembic import op

from libs.db.row_security import grant

revision = "mail_0002"
down_revision = "mail_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE ops.emails ADD COLUMN holds_secret boolean NOT NULL DEFAULT false")
    op.execute(
        """
        CREATE FUNCTION ops.announce_emails() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_notify('emails', ''); RETURN NULL; END $$
        """
    )
    op.execute(
        "CREATE TRIGGER announce AFTER INSERT ON ops.emails"
        " FOR EACH STATEMENT EXECUTE FUNCTION ops.announce_emails()"
    )
    grant("UPDATE (text, html)", "ops.emails", "easel_billing")
