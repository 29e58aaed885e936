"""The tenant is set on the transaction, never on the pooled connection."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from libs.db.engine import Sessions, build_engine, build_sessions
from libs.db.transaction import transaction
from libs.testkit.postgres import Database

TENANT = text("SELECT ops.current_tenant()")
BACKEND = text("SELECT pg_backend_pid()")


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = build_engine(database.url("generation"), application="test", pool_size=1)
    yield engine
    await engine.dispose()


@pytest.fixture
def pool(engine: AsyncEngine) -> Sessions:
    return build_sessions(engine)


async def tenant_of(session: AsyncSession) -> UUID | None:
    tenant: UUID | None = await session.scalar(TENANT)
    return tenant


async def test_the_next_user_of_a_connection_inherits_nobody(pool: Sessions) -> None:
    user = uuid4()
    async with transaction(pool, user) as session:
        first = await session.scalar(BACKEND)
        assert await tenant_of(session) == user
    async with transaction(pool) as session:
        assert await session.scalar(BACKEND) == first
        assert await tenant_of(session) is None


async def test_a_rolled_back_transaction_leaves_nobody_behind(pool: Sessions) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        async with transaction(pool, uuid4()):
            raise RuntimeError("stop")
    async with transaction(pool) as session:
        assert await tenant_of(session) is None
