"""Work outlasts a database that is away, and nothing else."""

import socket

import asyncpg
import pytest
from sqlalchemy import text

from libs.db.engine import build_engine
from libs.db.outages import is_away, outlast


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def test_it_is_done_once_the_database_is_back() -> None:
    engine = build_engine(f"postgresql+asyncpg://a:b@127.0.0.1:{closed_port()}/c", application="x")
    tries = 0

    async def work() -> int:
        nonlocal tries
        tries += 1
        if tries < 2:
            async with engine.begin() as connection:
                await connection.execute(text("SELECT 1"))
        return tries

    assert await outlast(work, seconds=30) == 2
    await engine.dispose()


async def test_a_mistake_is_not_repeated() -> None:
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        raise ValueError("not ours")

    with pytest.raises(ValueError):
        await outlast(work, seconds=30)
    assert tries == 1


async def test_in_the_end_the_absence_is_told() -> None:
    async def work() -> None:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        await outlast(work, seconds=0)


def test_a_server_that_starts_up_is_away_and_a_wrong_statement_is_not() -> None:
    assert is_away(asyncpg.exceptions.CannotConnectNowError("starting up"))
    assert is_away(asyncpg.exceptions.AdminShutdownError("terminating"))
    assert not is_away(asyncpg.exceptions.UndefinedTableError("no such table"))
