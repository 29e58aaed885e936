"""How the running platform's order of claims is compared with the simulator's."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bench.replay import Person, order_difference, simulated
from dev.client import Client

START = datetime(2026, 11, 23, tzinfo=UTC)


def job(at: float, started: float, finished: float) -> dict[str, Any]:
    names = ("created_at", "started_at", "finished_at")
    moments = [
        (START + timedelta(seconds=seconds)).isoformat() for seconds in (at, started, finished)
    ]
    return {**dict(zip(names, moments, strict=True)), "quoted_millicredits": 1000}


def test_the_share_of_pairs_in_another_order() -> None:
    assert order_difference([1, 2, 3, 4], [10, 20, 30, 40]) == 0
    assert order_difference([1, 2, 3, 4], [4, 3, 2, 1]) == 1
    assert order_difference([1, 2, 3, 4], [2, 1, 3, 4]) == pytest.approx(1 / 6)


def test_the_simulator_draws_what_came_in_the_time_that_it_took() -> None:
    """Five users at once on four slots: the fifth starts when the first slot is free."""
    people = [Person(Client(""), "pro", f"user-{number}") for number in range(5)]
    took = (9.0, 4.0, 8.0, 7.0, 3.0)
    jobs = [
        (person, job(0.1 * number, 1.0, 1.0 + seconds))
        for number, (person, seconds) in enumerate(zip(people, took, strict=True))
    ]
    starts = [run.started_at for run in simulated(jobs)]
    assert starts == [pytest.approx(moment, abs=1e-6) for moment in (0.0, 0.1, 0.2, 0.3, 4.1)]
