"""The Celery task: a wake-up. It names no job; the worker claims what is due (late binding)."""

from collections.abc import Callable

from celery import Celery, Task
from opentelemetry.trace import SpanKind, get_tracer

from libs.telemetry.tracing import context_from
from services.generation.wake_ups import WAKE_UP

tracer = get_tracer(__name__)


def register_wake_up(celery: Celery, work: Callable[[], None]) -> None:
    """Bind the wake-up to what a worker process does when it is woken."""

    def wake_up(task: "Task[[], None]") -> None:
        parent = context_from({"traceparent": task.request.get("traceparent")})
        with tracer.start_as_current_span(WAKE_UP, context=parent, kind=SpanKind.CONSUMER):
            work()

    celery.task(name=WAKE_UP, bind=True)(wake_up)
