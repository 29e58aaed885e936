"""What a user has in front of a job: the user's own jobs, and what the user had lately."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from libs.tiers.catalogue import Pool, Tier, TierName
from libs.tiers.estimates import own_work
from services.generation.waiting import OwnWork


@dataclass(frozen=True)
class OwnJob:
    """One of the user's waiting jobs."""

    id: UUID
    tier: TierName
    pool: Pool
    model: str
    cost: int
    created_at: datetime


@dataclass(frozen=True)
class OwnJobs:
    """The user's waiting jobs, oldest first, those in flight, and by tier how far the user's place
    is past the tier's virtual time (`libs.tiers.fair_queue`)."""

    waiting: Sequence[OwnJob] = ()
    running: int = 0
    running_cost: int = 0
    leads: Mapping[str, float] = field(default_factory=dict)


def own_work_before(
    own: OwnJobs, job: OwnJob, before: int, tier: Tier, seen_at: datetime | None
) -> OwnWork:
    """What is in front of a waiting job, behind `before` of the user's other waiting work. An
    outlook of `seen_at` counts the job itself if it is older."""
    included = job.cost if seen_at is not None and job.created_at < seen_at else 0
    return _in_front(own, tier, before, included)


def own_work_of_new(own: OwnJobs, tier: Tier) -> OwnWork:
    """What is in front of one more job."""
    return _in_front(own, tier, sum(job.cost for job in own.waiting), 0)


def _in_front(own: OwnJobs, tier: Tier, before: int, included: int) -> OwnWork:
    return OwnWork(
        virtual_start=own.leads.get(tier.name, 0.0) + before,
        own_cost=own_work(before, own.running, own.running_cost, tier.running_jobs),
        included=included,
    )
