"""The tenant lives in the transaction: a pooled connection that goes back carries nobody.

Each login role, a pool of one connection, so that everybody gets the same one.
"""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from libs.db.engine import Sessions, build_engine, build_sessions
from libs.db.transaction import set_tenant, transaction
from libs.testkit.postgres import ROLES, Database

TENANT = text("SELECT ops.current_tenant()")
BACKEND = text("SELECT pg_backend_pid()")
SLOW = text("SELECT pg_sleep(30)")
BROKEN = text("SELECT 1 / 0")


@pytest.fixture(params=ROLES)
async def engine(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[AsyncEngine]:
    """The pool that services have, with one connection."""
    engine = build_engine(database.url(request.param), application="test", pool_size=1)
    yield engine
    await engine.dispose()


@pytest.fixture
def pool(engine: AsyncEngine) -> Sessions:
    return build_sessions(engine)


async def tenant_of(session: AsyncSession) -> UUID | None:
    tenant: UUID | None = await session.scalar(TENANT)
    return tenant


async def backend_of(pool: Sessions) -> int:
    """The one connection, on which nobody is the tenant."""
    async with transaction(pool) as session:
        assert await tenant_of(session) is None
        return int(await session.scalar(BACKEND) or 0)


async def test_tenants_follow_each_other_on_one_connection(pool: Sessions) -> None:
    backends = set()
    for user in (uuid4(), uuid4(), uuid4()):
        async with transaction(pool, user) as session:
            assert await tenant_of(session) == user
            backends.add(await session.scalar(BACKEND))
        backends.add(await backend_of(pool))
    assert len(backends) == 1


async def test_an_exception_leaves_nobody_behind(pool: Sessions) -> None:
    before = await backend_of(pool)
    with pytest.raises(DBAPIError, match="division by zero"):
        async with transaction(pool, uuid4()) as session:
            await session.execute(BROKEN)
    assert await backend_of(pool) == before


async def test_a_savepoint_that_fails_keeps_the_tenant_and_leaves_nobody_behind(
    pool: Sessions,
) -> None:
    user = uuid4()
    async with transaction(pool, user) as session:
        with pytest.raises(DBAPIError):
            async with session.begin_nested():
                await set_tenant(session, uuid4())
                await session.execute(BROKEN)
        assert await tenant_of(session) == user
    await backend_of(pool)


async def test_a_cancelled_request_leaves_nobody_behind(pool: Sessions) -> None:
    """The client has gone while the statement runs."""

    async def wait_long(user: UUID) -> None:
        async with transaction(pool, user) as session:
            await session.execute(SLOW)

    task = asyncio.create_task(wait_long(uuid4()))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(backend_of(pool), 5)


async def test_many_at_once_never_see_each_other(pool: Sessions) -> None:
    async def look(user: UUID | None) -> bool:
        async with transaction(pool, user) as session:
            await asyncio.sleep(0)
            return await tenant_of(session) == user

    asked = [look(uuid4() if number % 3 else None) for number in range(60)]
    assert all(await asyncio.gather(*asked))


async def test_a_tenant_set_on_the_connection_would_be_seen(database: Database) -> None:
    """The control: what the house forbids shows in exactly these questions."""
    engine = create_async_engine(database.url("gallery"), pool_size=1, max_overflow=0)
    careless = build_sessions(engine)
    user = str(uuid4())
    async with careless.begin() as session:
        on_connection = text("SELECT set_config('app.user_id', :user, false)")
        await session.execute(on_connection, {"user": user})
    async with careless.begin() as session:
        assert str(await tenant_of(session)) == user
    await engine.dispose()
