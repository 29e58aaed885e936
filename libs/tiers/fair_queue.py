"""The order of service of one GPU pool: weighted fair queueing that starves nobody.

Start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing", SIGCOMM 1996) over tiers by
weight, and inside a tier over users alike. The cost of a job is its quote in milli-credits. Around
it: users who had more than their share in flight over the last minutes come after the others, some
turns go to a tier that was not served for long and to jobs past their tier's bound, and a model
that is loaded may go first for a few seconds.

Pure and deterministic: times are seconds of any clock, ids are any strings that sort by age. The
durable form is `generation.claim_job` (services/generation/migrations/0006_queue.sql); a test runs
both on the same histories.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from libs.tiers.fair_rules import (
    OVERDUE_EVERY,
    UNSERVED_EVERY,
    UNSERVED_SECONDS,
    USE_SECONDS,
    QueuedJob,
    TierRule,
    shares,
)
from libs.tiers.tier_queue import Flow, TierQueue, prefer_loaded

InFlight = Counter[str]  # jobs in flight by user, in all pools


@dataclass(frozen=True)
class Choice:
    """A flow that is served next; the clocks move only where it was the natural one."""

    tier: TierQueue
    flow: Flow
    moves_tiers: bool
    moves_users: bool


class FairQueue:
    """The queue of one pool."""

    def __init__(self, rules: Sequence[TierRule], in_flight: InFlight) -> None:
        self.tiers = {rule.name: TierQueue(rule) for rule in rules}
        self.in_flight = in_flight
        self.virtual_time = 0.0
        self.dispatches = 0
        self._waiting: dict[str, QueuedJob] = {}

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    def enter(self, job: QueuedJob) -> None:
        """Queue a job that was accepted, or whose rest is over."""
        self._waiting[job.id] = job
        self.tiers[job.tier].enter(job)

    def leave(self, job_id: str) -> QueuedJob:
        """Take a waiting job out: cancelled, expired, or moved to another tier."""
        job = self._waiting.pop(job_id)
        self.tiers[job.tier].remove(job)
        return job

    def end(self, job: QueuedJob, executed_cost: int) -> None:
        """A job in flight has ended, having executed so much."""
        tier = self.tiers[job.tier]
        for counts in (self.in_flight, tier.in_flight):
            counts[job.user] -= 1
            if not counts[job.user]:
                del counts[job.user]
        if executed_cost != job.cost:
            tier.correct(job.user, job.cost - executed_cost)

    def hand_back(self, job: QueuedJob) -> None:
        """A job in flight waits again, and nothing was executed."""
        self.enter(job)
        self.end(job, executed_cost=0)

    def set_shares(self, slots: int, now: float) -> None:
        """Reckon every tier's share anew from who is active now."""
        active = {name: tier.users_active(now) for name, tier in self.tiers.items()}
        entitled = shares([tier.rule for tier in self.tiers.values()], active, slots)
        for name, tier in self.tiers.items():
            tier.share = entitled.get(name, math.inf)

    def choose(self, now: float, loaded: Collection[str] = ()) -> QueuedJob | None:
        """Take the next job, which is in flight from here; None if nobody is eligible."""
        turn = self.dispatches + 1
        choice = self._unserved(now) if turn % UNSERVED_EVERY == 0 else None
        if choice is None and turn % OVERDUE_EVERY == 0:
            choice = self._overdue(now)
        choice = choice or self._in_order(now, loaded)
        if choice is None:
            return None
        self.dispatches = turn
        return self._take(choice, now)

    def _take(self, choice: Choice, now: float) -> QueuedJob:
        tier, flow, job = choice.tier, choice.flow, choice.flow.head
        start = max(tier.finish_tag, self.virtual_time)
        tier.finish_tag = start + job.cost / tier.rule.weight
        tier.served_at = now
        if choice.moves_tiers:
            self.virtual_time = start
        user_start = max(flow.tag, tier.virtual_time)
        if choice.moves_users:
            tier.virtual_time = user_start
        flow.used, flow.used_at = flow.use(now) + job.cost, now
        tier.remove(job, tag=user_start + job.cost)
        del self._waiting[job.id]
        for counts in (self.in_flight, tier.in_flight):
            counts[job.user] += 1
        return job

    def _may_start(self, tier: TierQueue, flow: Flow, now: float, *, noisy: bool) -> bool:
        """Whether the head is in time, the user below the running limit, and quiet if need be."""
        expires = flow.head.expires_at
        return (
            (expires is None or expires > now)
            and self.in_flight[flow.user] < tier.rule.running_jobs
            and (noisy or flow.use(now) <= tier.share * USE_SECONDS * 1000)
        )

    def _unserved(self, now: float) -> Choice | None:
        """The tier that was not served for longest, if that is long."""
        late = [t for t in self.tiers.values() if now - t.served_at > UNSERVED_SECONDS]
        for noisy in (False, True):
            for tier in sorted(late, key=lambda t: (t.served_at, -t.rule.weight)):
                flow = next(self._lane(tier, now, noisy=noisy), None)
                if flow is not None:
                    return Choice(tier, flow, moves_tiers=False, moves_users=True)
        return None

    def _overdue(self, now: float) -> Choice | None:
        """The job that is past its tier's bound for longest, of a user who is not noisy."""
        found: tuple[float, str, Choice] | None = None
        for tier in self.tiers.values():
            for queued_at, job_id, flow in tier.ages:
                due = queued_at + tier.rule.bound_seconds
                if due >= now or (found and (due, job_id) >= found[:2]):
                    break
                if self._may_start(tier, flow, now, noisy=False):
                    choice = Choice(tier, flow, moves_tiers=False, moves_users=False)
                    found = (due, job_id, choice)
                    break
        return found[2] if found else None

    def _in_order(self, now: float, loaded: Collection[str]) -> Choice | None:
        """The next by the clocks; noisy users only if nobody else may start."""
        for noisy in (False, True):
            for tier in sorted(self.tiers.values(), key=self._turn):
                flows = self._lane(tier, now, noisy=noisy)
                first = next(flows, None)
                if first is not None:
                    flow = first if noisy else prefer_loaded(first, flows, now, loaded)
                    return Choice(tier, flow, moves_tiers=True, moves_users=flow is first)
        return None

    def _turn(self, tier: TierQueue) -> tuple[float, int]:
        return max(tier.finish_tag, self.virtual_time), -tier.rule.weight

    def _lane(self, tier: TierQueue, now: float, *, noisy: bool) -> Iterator[Flow]:
        """Users whose head may start now, in their order; the noisy ones only if asked for."""
        return (f for _, _, f in tier.order if self._may_start(tier, f, now, noisy=noisy))
