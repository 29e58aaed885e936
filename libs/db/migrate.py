"""Bring the database up to date: `python -m libs.db.migrate OWNER...`.

For example `libs.db libs.jobs services.user`. An owner is a module path with a `migrations/`
folder: one linear Alembic history, recorded in the
table `ops.history_<owner>`. Histories go forward only; a mistake is mended by the next migration.
Everything but the first history (roles and schemas) runs as `easel_owner`, who owns all tables.
"""

import asyncio
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from libs.kernel.settings import Settings, load

ROOT = Path(__file__).resolve().parents[2]
HISTORY = Path(__file__).with_name("history")
MIGRATION_LOCK = 0x6561_7365_6C  # "easel": one migrator at a time in a database


class MigrateSettings(Settings):
    """`EASEL_ADMIN_DATABASE_URL`: a role that may create roles and schemas."""

    admin_database_url: str


def history_of(owner: str) -> Config:
    """Alembic's configuration for one owner's history."""
    folder = ROOT.joinpath(*owner.split(".")) / "migrations"
    if not folder.is_dir():
        raise SystemExit(f"{owner} has no migrations folder")
    config = Config()
    config.set_main_option("script_location", str(HISTORY))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "newline")
    config.attributes["version_table"] = f"history_{owner.replace('.', '_')}"
    return config


def upgrade(connection: Connection, owner: str) -> None:
    """Run what is missing of one owner's history on an open connection."""
    config = history_of(owner)
    connection.execute(text("RESET ROLE" if owner == "libs.db" else "SET ROLE easel_owner"))
    connection.commit()
    config.attributes["connection"] = connection
    command.upgrade(config, "heads")
    connection.commit()


async def migrate(admin_url: str, owners: list[str]) -> None:
    """Upgrade every history in the order given; a second migrator waits for the first."""
    engine = create_async_engine(admin_url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
            await connection.execute(text("CREATE SCHEMA IF NOT EXISTS ops"))
            await connection.commit()
            for owner in owners:
                await connection.run_sync(upgrade, owner)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(migrate(load(MigrateSettings).admin_database_url, sys.argv[1:]))
