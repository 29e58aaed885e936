"""A real Redis for tests: one server a pytest process, emptied for every test."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from dev.parts.program import LOOPBACK, free_port, services_python
from dev.parts.redis import redis as redis_program
from libs.events.connection import build_redis
from libs.testkit.running import running


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server that keeps nothing on disk."""
    folder, port, password = tmp_path_factory.mktemp("redis"), free_port(), secrets.token_hex(12)
    program = redis_program(services_python(), port, folder / "data", password, durable=False)
    with running(program, folder):
        yield f"redis://:{password}@{LOOPBACK}:{port}/0"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of the server, which is empty."""
    client = build_redis(redis_url)
    await client.flushall()
    yield client
    await client.aclose()
