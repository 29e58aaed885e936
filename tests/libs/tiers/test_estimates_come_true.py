"""Estimates beside what happens: a queue of two tiers whose clock is virtual."""

import heapq
import random
from collections import Counter, deque

import pytest

from libs.tiers.estimates import (
    SAMPLES,
    Calibration,
    Estimate,
    Service,
    Started,
    calibrate,
    estimate,
)
from libs.tiers.fair_queue import FairQueue
from libs.tiers.fair_rules import QueuedJob, TierRule
from libs.tiers.pool_loads import PoolLoad, load_of_queue

SLOTS, MEAN_COST, JOBS = 4, 10_000, 4_000
RULES = (TierRule("free", 10, 1, 3_600.0), TierRule("pro", 50, 1, 360.0))


class Rehearsal:
    """Jobs of ten seconds on average, of a new user each, that come at random."""

    def __init__(self, load: float) -> None:
        self.arrivals = load * SLOTS * 1_000 / len(RULES)
        self.queue = FairQueue(RULES, Counter())
        self.ends: list[tuple[float, str, QueuedJob]] = []
        self.told: dict[str, Estimate] = {}
        self.started = {rule.name: deque[Started](maxlen=SAMPLES) for rule in RULES}
        self.calibrations = {rule.name: Calibration() for rule in RULES}
        self.kept: list[bool] = []

    def load(self) -> PoolLoad:
        queue, arrivals = self.queue, self.arrivals
        return PoolLoad(
            {
                name: load_of_queue(tier, queue.in_flight, arrivals=arrivals, newcomers=arrivals)
                for name, tier in queue.tiers.items()
            },
            slots=SLOTS,
            running=len(self.ends),
            running_cost=sum(job.cost for _, _, job in self.ends),
        )

    def accept(self, job: QueuedJob) -> None:
        self.told[job.id] = estimate(
            self.load(),
            job.tier,
            cost=job.cost,
            virtual_start=0,
            own_cost=0,
            calibration=self.calibrations[job.tier],
            service=Service(),
        )
        self.queue.enter(job)
        self.start_jobs(job.queued_at)

    def start_jobs(self, now: float) -> None:
        while len(self.ends) < SLOTS and (job := self.queue.choose(now)) is not None:
            told, waited = self.told[job.id], now - job.queued_at
            heapq.heappush(self.ends, (now + job.cost / 1_000, job.id, job))
            self.started[job.tier].append(Started(told.reckoned, told.start_p90, waited))
            self.kept.append(waited <= told.start_p90)

    def end_jobs(self, until: float) -> None:
        while self.ends and self.ends[0][0] <= until:
            now, _, job = heapq.heappop(self.ends)
            self.queue.end(job, job.cost)
            self.start_jobs(now)

    def calibrate(self) -> None:
        self.calibrations = {name: calibrate(tuple(seen)) for name, seen in self.started.items()}


@pytest.mark.parametrize(("seed", "load"), [(1, 0.7), (2, 0.9), (3, 0.97)])
def test_nine_of_ten_jobs_start_before_their_p90(seed: int, load: float) -> None:
    chance, rehearsal, now = random.Random(seed), Rehearsal(load), 0.0
    for number in range(JOBS):
        now += chance.expovariate(load * SLOTS / (MEAN_COST / 1_000))
        rehearsal.end_jobs(now)
        cost = 1 + int(chance.expovariate(1 / MEAN_COST))
        tier = chance.choice(RULES).name
        rehearsal.accept(QueuedJob(f"{number:09}", f"user {number}", tier, "demo", cost, now))
        if number % 20 == 0:
            rehearsal.calibrate()
    kept = rehearsal.kept[JOBS // 4 :]
    assert 0.85 <= sum(kept) / len(kept) <= 0.95
