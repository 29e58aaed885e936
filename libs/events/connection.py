"""The Redis connection pool of one process; connecting is lazy."""

from typing import Any

from redis.asyncio import Redis, Sentinel
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff

from libs.kernel.redis_address import SentinelAddress, read_sentinel_url

CONNECT_TIMEOUT_SECONDS = 2.0
ANSWER_TIMEOUT_SECONDS = 20.0  # longer than the longest blocking read of a stream


class PrimaryPool(SentinelConnectionPool):
    """Connections to the primary that the Sentinels name when one is opened."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close them; with those in use, which is the end, also those to the Sentinels."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


def build_redis(url: str) -> Redis:
    """A client that answers `str`, reconnects at once after an idle cut, and fails fast.

    `url` is one of `libs.kernel.redis_address`. While Sentinels agree on another primary, calls
    raise redis.ConnectionError; the next ones after it go there.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "socket_timeout": ANSWER_TIMEOUT_SECONDS,
        "health_check_interval": 30,
        "retry": Retry(NoBackoff(), 1),
    }
    sentinel = read_sentinel_url(url)
    client: Redis = (
        Redis.from_url(url, **options)
        if sentinel is None
        else _primary_of(sentinel, **options, db=sentinel.db, username=sentinel.username)
    )
    return client


def _primary_of(address: SentinelAddress, **options: Any) -> Redis:
    sentinels = Sentinel(
        address.sentinels,
        sentinel_kwargs={
            "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "socket_timeout": CONNECT_TIMEOUT_SECONDS,
            "username": address.sentinel_username,
            "password": address.sentinel_password,
            "retry": Retry(NoBackoff(), 0),  # there are others to ask
        },
    )
    primary: Redis = sentinels.master_for(
        address.primary,
        connection_pool_class=PrimaryPool,
        password=address.password,
        **options,
    )
    return primary
