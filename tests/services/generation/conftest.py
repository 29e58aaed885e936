from collections.abc import Callable

import pytest

from libs.db.engine import Sessions
from tests.services.generation.queue_of_jobs import Queue


@pytest.fixture
def queue(sessions: Callable[[str], Sessions]) -> Queue:
    """An empty queue of record."""
    return Queue(*(sessions(role) for role in ("generation", "worker", "relay", "billing")))
