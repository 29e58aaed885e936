"""A job remembers by which price book it was accepted, and is settled by it."""

from alembic import op

revision = "generation_0002"
down_revision = "generation_0001"
branch_labels = None
depends_on = None

# All there was before; also what code that knows no versions goes on accepting by.
FIRST_PRICE_BOOK = "2026-11-01"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE generation.jobs ADD COLUMN price_version text NOT NULL"
        f" DEFAULT '{FIRST_PRICE_BOOK}'"
    )
