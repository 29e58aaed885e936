"""The order of service of one GPU pool: weighted fair queueing that starves nobody.

Start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing", SIGCOMM 1996) over tiers by
weight, and inside a tier over users alike. The cost of a job is its quote in milli-credits. Around
it: users who have more than their share in flight come after the others, a job that waited past its
tier's bound gets every second turn, and a model that is loaded may go first for a few seconds.

Pure and deterministic: times are seconds of any clock, ids are any strings that sort by age. The
durable form is `generation.claim_job` (services/generation/migrations/0006_queue.sql); a test runs
both on the same histories.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from libs.tiers.catalogue import Tier

OVERDUE_EVERY = 2  # each second turn goes to a job past its tier's bound, if there is one
NOISY_EVERY = 10  # each tenth turn asks the users with more than their share first
AFFINITY_SECONDS = 5.0  # how long a job may be passed over for one whose model is loaded
AFFINITY_DEPTH = 16  # how far behind the first user one with a loaded model is looked for
BOUND_OVER_TARGET = 2  # a tier's bound on the wait, over its target

InFlight = Counter[str]  # jobs in flight by user, in all pools


@dataclass(frozen=True)
class QueuedJob:
    """A waiting job; `cost` in milli-credits, times in seconds."""

    id: str
    user: str
    tier: str
    model: str
    cost: int
    queued_at: float
    expires_at: float | None = None


@dataclass(frozen=True)
class TierRule:
    """How one tier is served."""

    name: str
    weight: int
    running_jobs: int
    bound_seconds: float


def rules_of(tiers: Sequence[Tier]) -> tuple[TierRule, ...]:
    """The rules of catalogue tiers."""
    return tuple(
        TierRule(t.name, t.weight, t.running_jobs, BOUND_OVER_TARGET * t.target_wait_p95_seconds)
        for t in tiers
    )


def shares(
    rules: Sequence[TierRule], active_users: Mapping[str, int], slots: int
) -> dict[str, float]:
    """Slots that one user of each tier is entitled to, by the weights of the tiers in use."""
    total = sum(rule.weight for rule in rules if active_users.get(rule.name))
    return {
        rule.name: slots * rule.weight / total / active_users[rule.name]
        for rule in rules
        if active_users.get(rule.name)
    }


@dataclass(eq=False)
class Flow:
    """One user's place in a tier's queue; `tag` is where the user's next job starts."""

    user: str
    tag: float = 0.0
    jobs: list[tuple[str, QueuedJob]] = field(default_factory=list)

    @property
    def head(self) -> QueuedJob:
        return self.jobs[0][1]


Place = tuple[float, str, Flow]


@dataclass(eq=False)
class TierQueue:
    """A tier's users: by tag in `order`, by the age of their first job in `ages`."""

    rule: TierRule
    finish_tag: float = 0.0
    virtual_time: float = 0.0
    share: float = 1.0
    flows: dict[str, Flow] = field(default_factory=dict)
    order: list[Place] = field(default_factory=list)
    ages: list[Place] = field(default_factory=list)
    in_flight: Counter[str] = field(default_factory=Counter)

    def place(self, flow: Flow) -> None:
        insort(self.order, (flow.tag, flow.head.id, flow))
        insort(self.ages, (flow.head.queued_at, flow.head.id, flow))

    def displace(self, flow: Flow) -> None:
        for places, key in ((self.order, flow.tag), (self.ages, flow.head.queued_at)):
            del places[bisect_left(places, (key, flow.head.id), key=lambda place: place[:2])]

    def enter(self, job: QueuedJob) -> None:
        flow = self.flows.setdefault(job.user, Flow(job.user, self.virtual_time))
        if flow.jobs:
            self.displace(flow)
        else:
            flow.tag = max(flow.tag, self.virtual_time)
        insort(flow.jobs, (job.id, job))
        self.place(flow)

    def remove(self, job: QueuedJob, tag: float | None = None) -> None:
        """Take a waiting job out; `tag` is the user's new one."""
        flow = self.flows[job.user]
        self.displace(flow)
        flow.tag = flow.tag if tag is None else tag
        del flow.jobs[bisect_left(flow.jobs, (job.id,))]
        if flow.jobs:
            self.place(flow)

    def correct(self, user: str, unused: int) -> None:
        """Give back what a job was charged and did not use."""
        flow = self.flows[user]
        if flow.jobs:
            self.displace(flow)
        flow.tag -= unused
        if flow.jobs:
            self.place(flow)
        self.finish_tag -= unused / self.rule.weight

    def users_active(self) -> int:
        """Users with a job waiting or in flight."""
        return len(self.order) + sum(not self.flows[user].jobs for user in self.in_flight)


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

    def set_shares(self, slots: int) -> None:
        """Reckon every tier's share anew from who is active now."""
        active = {name: tier.users_active() for name, tier in self.tiers.items()}
        entitled = shares([tier.rule for tier in self.tiers.values()], active, slots)
        for name, tier in self.tiers.items():
            tier.share = entitled.get(name, 1.0)

    def choose(self, now: float, loaded: Collection[str] = ()) -> QueuedJob | None:
        """Take the next job, which is in flight from here; None if nobody is eligible."""
        turn = self.dispatches + 1
        choice = self._overdue(now) if turn % OVERDUE_EVERY == 0 else None
        choice = choice or self._in_order(now, loaded, noisy_first=turn % NOISY_EVERY == 0)
        if choice is None:
            return None
        self.dispatches = turn
        return self._take(choice)

    def _take(self, choice: Choice) -> QueuedJob:
        tier, flow, job = choice.tier, choice.flow, choice.flow.head
        start = max(tier.finish_tag, self.virtual_time)
        tier.finish_tag = start + job.cost / tier.rule.weight
        if choice.moves_tiers:
            self.virtual_time = start
        user_start = max(flow.tag, tier.virtual_time)
        if choice.moves_users:
            tier.virtual_time = user_start
        tier.remove(job, tag=user_start + job.cost)
        del self._waiting[job.id]
        for counts in (self.in_flight, tier.in_flight):
            counts[job.user] += 1
        return job

    def _eligible(self, tier: TierQueue, flow: Flow, now: float) -> bool:
        expires = flow.head.expires_at
        in_time = expires is None or expires > now
        return in_time and self.in_flight[flow.user] < tier.rule.running_jobs

    def _is_noisy(self, tier: TierQueue, flow: Flow) -> bool:
        return self.in_flight[flow.user] >= max(1.0, tier.share)

    def _overdue(self, now: float) -> Choice | None:
        """The job that is past its tier's bound for longest, of a user within the share."""
        found: tuple[float, str, Choice] | None = None
        for tier in self.tiers.values():
            for queued_at, job_id, flow in tier.ages:
                if found and (queued_at + tier.rule.bound_seconds, job_id) >= found[:2]:
                    break
                if now - queued_at <= tier.rule.bound_seconds:
                    break
                if self._eligible(tier, flow, now) and not self._is_noisy(tier, flow):
                    choice = Choice(tier, flow, moves_tiers=False, moves_users=False)
                    found = (queued_at + tier.rule.bound_seconds, job_id, choice)
                    break
        return found[2] if found else None

    def _in_order(self, now: float, loaded: Collection[str], *, noisy_first: bool) -> Choice | None:
        """The next by the clocks: quiet users first, and on some turns the noisy ones."""
        for noisy in (True, False) if noisy_first else (False, True):
            for tier in sorted(self.tiers.values(), key=self._turn):
                flows = self._lane(tier, now, noisy=noisy)
                first = next(flows, None)
                if first is not None:
                    flow = first if noisy else prefer_loaded(first, flows, now, loaded)
                    return Choice(tier, flow, not (noisy and noisy_first), flow is first)
        return None

    def _turn(self, tier: TierQueue) -> tuple[float, int]:
        return max(tier.finish_tag, self.virtual_time), -tier.rule.weight

    def _lane(self, tier: TierQueue, now: float, *, noisy: bool) -> Iterator[Flow]:
        """Users who may be served now, in their order."""
        for _, _, flow in self._busy(tier) if noisy else tier.order:
            if self._eligible(tier, flow, now) and self._is_noisy(tier, flow) == noisy:
                yield flow

    def _busy(self, tier: TierQueue) -> list[Place]:
        """The places of users with a job in flight: the only ones that can be noisy."""
        flows = (tier.flows.get(user) for user in self.in_flight)
        return sorted((flow.tag, flow.head.id, flow) for flow in flows if flow and flow.jobs)


def prefer_loaded(first: Flow, others: Iterator[Flow], now: float, loaded: Collection[str]) -> Flow:
    """The first user, or for a few seconds one shortly behind whose model is loaded."""
    if not loaded or first.head.model in loaded:
        return first
    if now - first.head.queued_at >= AFFINITY_SECONDS:
        return first
    near = (flow for _, flow in zip(range(AFFINITY_DEPTH), others, strict=False))
    return next((flow for flow in near if flow.head.model in loaded), first)
