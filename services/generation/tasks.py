"""The Celery tasks. A wake-up names no job: the worker claims what is due (late binding)."""

from collections.abc import Callable
from uuid import UUID

from celery import Celery, Task
from kombu.exceptions import OperationalError
from opentelemetry.trace import SpanKind, get_tracer
from sqlalchemy.exc import SQLAlchemyError

from libs.jobs.celery_app import queue_of_pool
from libs.telemetry.tracing import context_from
from services.generation.client.tier_changes import REWEIGH
from services.generation.wake_ups import WAKE_UP

tracer = get_tracer(__name__)


def register_wake_up(celery: Celery, work: Callable[[], str | None]) -> None:
    """Bind the wake-up to what a worker process does when it is woken.

    `work` ends with a pool when its turn is over while jobs may be due there. The wake-up is then
    passed on, so that other messages get their turn on a busy worker; with the broker away there
    are none, and the work goes on.
    """

    def wake_up(task: "Task[[], None]") -> None:
        parent = context_from({"traceparent": task.request.get("traceparent")})
        with tracer.start_as_current_span(WAKE_UP, context=parent, kind=SpanKind.CONSUMER):
            while (pool := work()) is not None:
                if pass_on(celery, pool):
                    return

    celery.task(name=WAKE_UP, bind=True, shared=False)(wake_up)


def pass_on(celery: Celery, pool: str) -> bool:
    """Queue a wake-up for a pool; False if the broker is away."""
    try:
        celery.send_task(WAKE_UP, queue=queue_of_pool(pool), retry=False)
    except OperationalError:
        return False
    return True


def register_reweighing(celery: Celery, reweigh: Callable[[UUID], object]) -> None:
    """Bind the announcement of a tier change; it is tried until the database answers."""

    def reweigh_queued(user_id: str) -> None:
        reweigh(UUID(user_id))

    celery.task(
        name=REWEIGH,
        shared=False,
        autoretry_for=(SQLAlchemyError, OSError),
        max_retries=None,
        retry_backoff=True,
        retry_backoff_max=60,
    )(reweigh_queued)
