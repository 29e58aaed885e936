"""A user's jobs and clocks can be erased, by the API alone and inside that user's transaction."""

from libs.db.row_security import grant, isolate_tenants

revision = "generation_0003"
down_revision = "generation_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grant("DELETE", "generation.jobs", "easel_generation")
    isolate_tenants("generation.user_clocks")
    grant("SELECT, DELETE", "generation.user_clocks", "easel_generation")
