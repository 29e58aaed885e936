"""Celery as transport of wake-ups: at least once, nothing kept, nothing remembered.

What a task works on is decided by the database when the task runs (late binding), so a wake-up
that is lost or doubled is harmless.
"""

from celery import Celery

VISIBILITY_TIMEOUT_SECONDS = 3600
ONE_TRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def build_celery(redis_url: str, *, name: str = "easel") -> Celery:
    """A Celery application on Redis. Publishing fails fast: the outbox is what retries."""
    app = Celery(name, broker=redis_url)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=0,
        broker_transport_options={
            **ONE_TRY,
            "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 30,
        },
        enable_utc=True,
        timezone="UTC",
    )
    return app


def queue_of_pool(pool: str) -> str:
    """The Celery queue that wakes the workers of a GPU pool."""
    return f"gpu-{pool}"
