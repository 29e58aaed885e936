"""Kombu's Redis transports, made to survive what lies in a queue and who answers for Redis.

Kombu lets the error of a message that is no JSON, or no envelope, out of its event loop, which ends
the worker; here such a message is dropped. And it takes each Sentinel for a broker of its own, to
which it switches when one is lost; here they are one broker, found through any of them.
"""

from collections.abc import Callable
from typing import Any

from kombu.message import Message
from kombu.transport import redis as kombu_redis
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from libs.telemetry.logs import get_logger

log = get_logger(__name__)
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)


class Channel(kombu_redis.Channel):
    """A channel that drops what no code can read."""

    def basic_consume(
        self,
        queue: str,
        no_ack: bool,
        callback: Callable[..., Any] | None,
        consumer_tag: str | None,
        **more: Any,
    ) -> str:
        """Hand the queue's messages to `callback`."""

        def take(message: Message) -> None:
            try:
                if callback is not None:
                    callback(message)
            except UNREADABLE as error:
                log.error("message_dropped", queue=queue, error=repr(error))
                message.ack()  # or it would take a place among those that may be taken at once

        tag: str = super().basic_consume(queue, no_ack, take, consumer_tag, **more)
        return tag

    def _brpop_read(self, **options: Any) -> bool:
        try:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]
        except UNREADABLE as error:
            log.error("message_dropped", error=repr(error))
            return True


class Transport(kombu_redis.Transport):
    """One Redis server."""

    Channel = Channel


class SentinelChannel(Channel, kombu_redis.SentinelChannel):
    """A channel to the primary that the Sentinels name whenever a connection is opened."""

    from_transport_options = (*kombu_redis.SentinelChannel.from_transport_options, "sentinels")
    sentinels: tuple[tuple[str, int], ...] = ()
    master_name = ""
    sentinel_kwargs: dict[str, Any] | None = None

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> ConnectionPool:
        parameters = self._connparams(asynchronous)  # type: ignore[attr-defined]
        for name in ("host", "port"):
            parameters.pop(name, None)
        asking = {**(self.sentinel_kwargs or {}), "retry": Retry(NoBackoff(), 0)}
        sentinels = Sentinel(self.sentinels, sentinel_kwargs=asking, **parameters)
        primary: Redis = sentinels.master_for(self.master_name, Redis)
        return primary.connection_pool


class SentinelTransport(kombu_redis.SentinelTransport):
    """The primary of a group that Sentinels watch."""

    Channel = SentinelChannel
