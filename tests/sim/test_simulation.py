"""What a simulated fleet does: nothing is lost, nothing runs twice, the same seed does the same."""

from collections import Counter
from dataclasses import replace

import pytest

from libs.tiers.fair_queue import FairQueue
from sim.fleet import Deaths, Storm
from sim.results import waits_of
from sim.runs import TraceRow
from sim.scenario import POOLS, Scenario
from sim.scenarios import BASE, EVERYTHING
from sim.simulation import Simulation
from sim.trace import trace
from sim.workload import Habits, Phase

SHORT = replace(
    EVERYTHING,
    phases=(Phase(900.0, 1.1),),
    window=(0.0, 900.0),
    floods=tuple(replace(flood, start=100.0, end=500.0) for flood in EVERYTHING.floods),
    storms=(Storm(300.0, "standard", 0.5, 200.0),),
    deaths=Deaths(200.0),
    habits=Habits(gives_up_waiting=0.1, sets_deadline=0.1),
)


@pytest.fixture(scope="module")
def rows() -> list[TraceRow]:
    return trace(SHORT, 1)


def test_the_same_seed_does_the_same(rows: list[TraceRow]) -> None:
    assert trace(SHORT, 1) == rows
    assert trace(SHORT, 2) != rows


def test_every_request_comes_to_one_end() -> None:
    simulation = Simulation(SHORT, 2).run()
    states = Counter(run.state for run in simulation.runs)
    assert set(states) == {"refused", "succeeded", "cancelled", "expired", "failed"}
    assert all(run.ended_at is not None for run in simulation.runs)
    assert not simulation.in_flight
    assert all(queue.waiting == 0 for queue in simulation.queues.values())


def test_a_job_runs_once_at_a_time_and_every_claim_is_answered(rows: list[TraceRow]) -> None:
    running: set[str] = set()
    for row in rows:
        if row.job is None:
            continue
        if row.what == "claimed":
            assert row.job.id not in running
            running.add(row.job.id)
        elif row.what in ("ended", "handed back"):
            running.remove(row.job.id)
    assert running == set()


def test_the_trace_alone_tells_the_order(rows: list[TraceRow]) -> None:
    """A queue that is told what happened makes the choices of the simulation."""
    in_flight: Counter[str] = Counter()
    queues = {pool: FairQueue(SHORT.rules(pool), in_flight) for pool in POOLS}
    claims = 0
    for row in rows:
        queue = queues[row.pool]
        if row.what == "claimed":
            claims += 1
            assert queue.choose(row.at, row.loaded) == row.job
        elif row.job is None:
            queue.set_shares(row.slots, row.at)
        elif row.what == "accepted":
            queue.enter(row.job)
        elif row.what == "left":
            queue.leave(row.job.id)
        elif row.what == "handed back":
            queue.hand_back(row.job)
        else:
            queue.end(row.job, row.executed_cost)
    assert claims > 500


def test_a_job_whose_worker_died_waits_for_its_lease_and_fails_after_three() -> None:
    mortal = replace(SHORT, deaths=Deaths(60.0, restart_seconds=5.0), storms=())
    rows = trace(mortal, 4)
    claimed: dict[str, float] = {}
    for row in rows:
        if row.what == "claimed" and row.job:
            claimed[row.job.id] = row.at
        elif row.what == "handed back" and row.job:
            assert row.at - claimed[row.job.id] >= 15.0
    failed = [run for run in Simulation(mortal, 4).run().runs if run.state == "failed"]
    assert failed and all(run.failures == run.attempts == 3 for run in failed)


def test_premium_gpus_help_and_their_own_queue_comes_first(rows: list[TraceRow]) -> None:
    helped = [row for row in rows if row.pool == "standard" and row.worker.startswith("premium")]
    assert helped
    assert not any(row.pool == "premium" and row.worker.startswith("standard") for row in rows)


def test_an_idle_fleet_makes_nobody_wait() -> None:
    quiet: Scenario = replace(BASE, phases=(Phase(600.0, 0.05),), window=(0.0, 600.0))
    simulation = Simulation(quiet, 1).run()
    assert waits_of(simulation.runs).p95 == 0.0
    assert 0.0 < simulation.busy("standard") < 0.12
