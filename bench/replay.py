"""The running platform beside the simulator: `./easel bench replay [--json]`, after `./easel up`.

A history of the simulator (three plans, more work than the worker's slots) is asked for on the
platform, as fast as it happens there. Then the simulator is told when every request came and how
long it was drawn, and says in which order it would have claimed them. `order_difference`: share of
pairs of jobs that the platform claimed the other way round.
"""

import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import combinations
from typing import Any

from bench.figures import run
from dev import lifecycle, ports
from dev.account import sign_up
from dev.client import ApiError, Client
from dev.parts.program import PartError
from dev.settings import WORKER_CONCURRENCY, Setup
from dev.state import find_state
from libs.tiers.catalogue import TierName
from sim.runs import Run
from sim.scenarios import BASE
from sim.simulation import Simulation
from sim.workload import MILLICREDITS_A_SECOND, Arrival, Phase

PLANS: tuple[TierName, ...] = ("free", "starter", "pro")
PEOPLE_A_PLAN = 6
REQUESTS = 72  # fewer a user than the free plan lets in
SECONDS = 20.0
STEPS = 20
END_SECONDS = 300.0
PATH = "/api/v1/generations"
ENDED = ("succeeded", "partial", "failed", "cancelled", "expired")


@dataclass(frozen=True)
class Person:
    """Somebody of the platform."""

    client: Client
    tier: TierName
    email: str

    def ask(self, seed: int, pictures: int) -> None:
        """One request."""
        size = {"width": 64, "height": 64, "steps": STEPS, "seed": seed, "num_images": pictures}
        try:
            self.client.call("POST", PATH, {"model": "demo", "prompt": "a red apple", **size})
        except ApiError as error:
            if error.status != 429:  # it would wait too long: the others are followed without it
                raise

    def jobs(self) -> list[Any]:
        """All jobs so far."""
        found: list[Any] = self.client.call("GET", f"{PATH}?limit=100")["items"]
        return found


def open_accounts(setup: Setup) -> list[Person]:
    """Fresh accounts of every plan."""
    kinds = [tier for tier in PLANS for _ in range(PEOPLE_A_PLAN)]

    def open_one(tier: TierName) -> Person:
        client = Client(setup.public_url)
        email, _ = sign_up(client, setup.mailbox, tier)
        return Person(client, tier, email)

    with ThreadPoolExecutor(4) as pool:
        people = list(pool.map(open_one, kinds))
    for tier in PLANS[1:]:
        lifecycle.give_tier(setup, tier, [one.email for one in people if one.tier == tier])
    return people


def follow(people: Sequence[Person]) -> list[tuple[Person, Any]]:
    """Ask for everything and wait for it. Raises PartError if it takes too long."""
    chance = random.Random(5)
    started = time.monotonic()
    moments = sorted(chance.uniform(0, SECONDS) for _ in range(REQUESTS))
    turns = [people[number % len(people)] for number in range(REQUESTS)]
    chance.shuffle(turns)
    asked = []
    with ThreadPoolExecutor(4) as pool:
        for number, (moment, person) in enumerate(zip(moments, turns, strict=True)):
            time.sleep(max(0.0, started + moment - time.monotonic()))
            asked.append(pool.submit(person.ask, number, chance.choice((1, 1, 2))))
    for one in asked:
        one.result()
    while time.monotonic() - started < END_SECONDS:
        jobs = [(person, job) for person in people for job in person.jobs()]
        if all(job["status"] in ENDED for _, job in jobs):
            return jobs
        time.sleep(2.0)
    raise PartError("not all jobs have ended: see `./easel logs worker`")


def seconds_of(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def arrival_of(person: Person, job: Any, first: float) -> Arrival:
    """A request as it came, drawn in the time that it took."""
    took = seconds_of(job["finished_at"]) - seconds_of(job["started_at"])
    cost = int(job["quoted_millicredits"])
    at = seconds_of(job["created_at"]) - first
    pace = took / cost * MILLICREDITS_A_SECOND
    return Arrival(at, person.email, person.tier, "demo", cost, 1.0, pace, None, None)


def simulated(jobs: Sequence[tuple[Person, Any]]) -> list[Run]:
    """What the simulator makes of the same requests, in the order in which they came."""
    scenario = replace(
        BASE,
        slots={"premium": WORKER_CONCURRENCY, "standard": 0},
        phases=(Phase(SECONDS, 0.0),),
        forecasts=False,
    )
    first = seconds_of(jobs[0][1]["created_at"])
    arrivals = [arrival_of(person, job, first) for person, job in jobs]
    return Simulation(scenario, 0, arrivals=iter(arrivals)).run().runs


def order_difference(live: Sequence[float], foretold: Sequence[float]) -> float:
    """Share of pairs whose order differs; both are moments of the same jobs."""
    pairs = list(combinations(range(len(live)), 2))
    other = sum((live[a] - live[b]) * (foretold[a] - foretold[b]) < 0 for a, b in pairs)
    return other / len(pairs)


def measure() -> dict[str, float]:
    """All figures of one run. Raises PartError where the platform does not run."""
    state = find_state()
    setup = lifecycle.make_setup(state, ports.remembered_backing(state), ports.remembered(state))
    jobs = sorted(follow(open_accounts(setup)), key=lambda one: str(one[1]["created_at"]))
    runs = simulated(jobs)
    live = [seconds_of(job["started_at"]) for _, job in jobs]
    came = [seconds_of(job["created_at"]) for _, job in jobs]
    foretold = [run.started_at or 0.0 for run in runs]
    waits = sorted(start - at for start, at in zip(live, came, strict=True))
    return {
        "order_difference": round(order_difference(live, foretold), 4),
        "difference_from_arrival_order": round(order_difference(live, came), 4),
        "jobs": len(jobs),
        "median_wait_seconds": round(waits[len(waits) // 2], 2),
    }


if __name__ == "__main__":
    run(__doc__, measure, sys.argv[1:])
