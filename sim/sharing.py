"""Whether tiers share as their weights say: every tier of a pool always has work."""

import heapq
from collections import Counter
from collections.abc import Sequence
from random import Random

from libs.tiers.fair_queue import FairQueue
from libs.tiers.fair_rules import QueuedJob, TierRule, rules_of
from sim.scenario import POOLS, TIERS
from sim.workload import LOADS, MILLICREDITS_A_SECOND, draw_cost

SLOTS = 8
USERS_A_TIER = 24  # more than slots: a tier never lacks a user below the running limit
CLAIMS = 1_800
STOPPED_EARLY = 0.05  # share of the jobs that run a part of what they cost
MEAN_SECONDS: dict[str, float] = {load.tier: load.mean_seconds for load in LOADS}


class Backlog:
    """A pool in which every user always has a job waiting."""

    def __init__(self, rules: Sequence[TierRule], rng: Random) -> None:
        self.rng, self.queue = rng, FairQueue(rules, Counter())
        self.served = {rule.name: 0 for rule in rules}
        self.jobs = 0
        for rule in rules:
            for user in range(USERS_A_TIER):
                self.ask(rule.name, f"{rule.name}-{user}", 0.0)

    def ask(self, tier: str, user: str, now: float) -> None:
        """One more job of a user."""
        self.jobs += 1
        cost = draw_cost(self.rng, MEAN_SECONDS[tier])
        self.queue.enter(QueuedJob(f"{self.jobs:08d}", user, tier, "demo", cost, now))

    def claim(self, now: float) -> tuple[float, QueuedJob, int]:
        """Take the next job: when it ends, and what of its cost it will have run."""
        job = self.queue.choose(now)
        assert job is not None, "somebody always waits"
        self.ask(job.tier, job.user, now)
        stops = self.rng.random() < STOPPED_EARLY
        executed = round(job.cost * self.rng.random()) if stops else job.cost
        self.served[job.tier] += executed
        return now + executed / MILLICREDITS_A_SECOND, job, executed


def share_error(pool: str, seed: int) -> float:
    """Largest difference of a tier's share of the served cost from its share of the weights."""
    rules = rules_of([tier for tier in TIERS if tier.gpu_pool == pool])
    backlog = Backlog(rules, Random(f"{seed} {pool} shares"))
    running: list[tuple[float, str, QueuedJob, int]] = []
    now = 0.0
    for number in range(CLAIMS):
        if len(running) == SLOTS:
            now, _, ended, ran = heapq.heappop(running)
            backlog.queue.end(ended, ran)
        if number % 32 == 0:
            backlog.queue.set_shares(SLOTS, now)
        end, job, executed = backlog.claim(now)
        heapq.heappush(running, (end, job.id, job, executed))
    weights, total = sum(rule.weight for rule in rules), sum(backlog.served.values())
    return max(abs(backlog.served[r.name] / total - r.weight / weights) for r in rules)


def worst_share_error(seeds: Sequence[int]) -> float:
    """The largest of all seeds; they take the pools in turn."""
    return max(share_error(POOLS[seed % len(POOLS)], seed) for seed in seeds)
