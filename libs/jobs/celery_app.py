"""Celery as transport of wake-ups: at least once, nothing kept, nothing remembered.

What a task works on is decided by the database when the task runs (late binding), so a wake-up
that is lost or doubled is harmless.
"""

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from celery import Celery

from libs.jobs.threads import ThreadPool
from libs.jobs.transport import SentinelTransport, Transport
from libs.kernel.redis_address import SentinelAddress, read_sentinel_url

VISIBILITY_TIMEOUT_SECONDS = 3600
CONNECT_SECONDS = 2
SOFT_SHUTDOWN_SECONDS = 5.0  # more than a worker takes to hand back what it works on
ONE_TRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
NO_CHATTER = ("--without-gossip", "--without-mingle", "--without-heartbeat")


def build_celery(redis_url: str, *, name: str = "easel") -> Celery:
    """A Celery application on Redis, or on the primary that Sentinels name.

    `redis_url` is one of `libs.kernel.redis_address`. Publishing fails fast: the outbox retries.
    """
    sentinel = read_sentinel_url(redis_url)
    broker = redis_url if sentinel is None else _broker_of(sentinel)
    transport = Transport if sentinel is None else SentinelTransport
    app = Celery(name, broker=broker)
    app.conf.update(
        broker_transport=_path_of(transport),
        task_ignore_result=True,
        task_acks_late=True,
        task_serializer="json",
        accept_content=["json"],
        worker_pool=_path_of(ThreadPool),
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=SOFT_SHUTDOWN_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=0,
        broker_transport_options={
            **ONE_TRY,
            "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 30,
            **({} if sentinel is None else _sentinel_options(sentinel)),
        },
        enable_utc=True,
        timezone="UTC",
    )
    return app


def _path_of(thing: type) -> str:
    return f"{thing.__module__}:{thing.__name__}"


def _broker_of(address: SentinelAddress) -> str:
    login = ":".join(quote(word or "", safe="") for word in (address.username, address.password))
    return f"sentinel://{login}@{address.primary}/{address.db}"


def _sentinel_options(address: SentinelAddress) -> dict[str, Any]:
    return {
        "sentinels": address.sentinels,
        "master_name": address.primary,
        "sentinel_kwargs": {
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": CONNECT_SECONDS,
            "username": address.sentinel_username,
            "password": address.sentinel_password,
        },
    }


def run_worker(celery: Celery, *, queues: Sequence[str], threads: int, log_level: str) -> None:
    """Work on the queues' messages until SIGTERM (running tasks end first) or SIGQUIT.

    Each thread takes one message; queues take turns, so that no number of messages in one delays
    another.
    """
    celery.worker_main(
        [
            "worker",
            f"--concurrency={threads}",
            f"--queues={','.join(queues)}",
            f"--hostname=worker-{os.getpid()}@%h",
            f"--loglevel={log_level}",
            *NO_CHATTER,
        ]
    )


def queue_of_pool(pool: str) -> str:
    """The Celery queue that wakes the workers of a GPU pool."""
    return f"gpu-{pool}"
