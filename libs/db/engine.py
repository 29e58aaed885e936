"""The connection pool of one process. Connecting is lazy: building an engine touches nothing."""

from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

Sessions = async_sessionmaker[AsyncSession]
SERVER_SETTINGS = {
    "timezone": "UTC",
    "statement_timeout": "15000",
    "idle_in_transaction_session_timeout": "30000",
    "jit": "off",
}


def build_engine(url: str, *, application: str, pool_size: int = 5) -> AsyncEngine:
    """An engine on asyncpg (`postgresql+asyncpg://`).

    Statements end after 15 s and idle transactions after 30 s on the server, so that a stuck
    client cannot hold locks. `pool_pre_ping` drops connections that a failover has cut.
    """
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=2 * pool_size,
        pool_timeout=10,
        pool_pre_ping=True,
        hide_parameters=True,  # errors are logged; people's values are not
        connect_args={
            "timeout": 5,
            "server_settings": {"application_name": application, **SERVER_SETTINGS},
        },
    )


def build_sessions(engine: AsyncEngine) -> Sessions:
    """Sessions that never load behind your back and stay readable after commit."""
    return async_sessionmaker(engine, expire_on_commit=False)
