"""One tier's queue in a pool: its users by turn and by age. `libs.tiers.fair_queue` serves it."""

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from libs.tiers.fair_rules import (
    AFFINITY_DEPTH,
    AFFINITY_SECONDS,
    USE_SECONDS,
    QueuedJob,
    TierRule,
)


@dataclass(eq=False)
class Flow:
    """One user's place in a tier's queue; `tag` is where the user's next job starts.

    `used` are the milli-credits of the last minutes, as they counted at `used_at`.
    """

    user: str
    tag: float = 0.0
    used: float = 0.0
    used_at: float = -math.inf
    jobs: list[tuple[str, QueuedJob]] = field(default_factory=list)

    @property
    def head(self) -> QueuedJob:
        return self.jobs[0][1]

    def use(self, now: float) -> float:
        """What is not forgotten yet of the user's milli-credits."""
        return self.used * math.exp((self.used_at - now) / USE_SECONDS)


Place = tuple[float, str, Flow]


@dataclass(eq=False)
class TierQueue:
    """A tier's users: by tag in `order`, by the age of their first job in `ages`."""

    rule: TierRule
    finish_tag: float = 0.0
    virtual_time: float = 0.0
    share: float = math.inf
    served_at: float = -math.inf
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
        flow.used = max(0.0, flow.used - unused)
        if flow.jobs:
            self.displace(flow)
        flow.tag -= unused
        if flow.jobs:
            self.place(flow)
        self.finish_tag -= unused / self.rule.weight

    def users_active(self, now: float) -> int:
        """Users with a job waiting or in flight, or claimed within the last minutes."""
        return sum(
            bool(flow.jobs) or flow.user in self.in_flight or flow.used_at > now - USE_SECONDS
            for flow in self.flows.values()
        )


def prefer_loaded(first: Flow, others: Iterator[Flow], now: float, loaded: Collection[str]) -> Flow:
    """The first user, or for a few seconds one shortly behind whose model is loaded."""
    if not loaded or first.head.model in loaded:
        return first
    if now - first.head.queued_at >= AFFINITY_SECONDS:
        return first
    near = (flow for _, flow in zip(range(AFFINITY_DEPTH), others, strict=False))
    return next((flow for flow in near if flow.head.model in loaded), first)
