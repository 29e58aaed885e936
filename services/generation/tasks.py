"""The Celery task: a wake-up. It names no job; the worker claims what is due (late binding)."""

from collections.abc import Callable

from celery import Celery

from services.generation.wake_ups import WAKE_UP


def register_wake_up(celery: Celery, work: Callable[[], None]) -> None:
    """Bind the wake-up to what a worker process does when it is woken."""

    def wake_up() -> None:
        work()

    celery.task(name=WAKE_UP)(wake_up)
