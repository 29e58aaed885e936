import asyncio
from collections.abc import Iterator

import pytest

from libs.db.engine import Sessions, build_engine, build_sessions
from libs.testkit.postgres import Database

ROLES = ("billing", "generation", "worker")


@pytest.fixture
def own_loop() -> Iterator[asyncio.Runner]:
    """A loop for tests that are not coroutines."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def own_sessions(database: Database, own_loop: asyncio.Runner) -> Iterator[dict[str, Sessions]]:
    """Sessions of the roles that move credits, to be used on `own_loop`."""
    engines = {
        role: build_engine(database.url(role), application=f"test-{role}", pool_size=8)
        for role in ROLES
    }
    yield {role: build_sessions(engine) for role, engine in engines.items()}
    for engine in engines.values():
        own_loop.run(engine.dispose())
