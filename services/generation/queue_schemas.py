"""Answers about the queue: what a user sees of it, and what an administrator does."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from libs.tiers.catalogue import Pool, TierName
from libs.web.pagination import Page
from services.generation.schemas import WaitEstimate


class WaitingJob(WaitEstimate):
    """One of the caller's waiting jobs, and when it starts and finishes."""

    generation_id: UUID
    tier: TierName
    pool: Pool
    model: str


class TierWait(BaseModel):
    """How long somebody with nothing queued would wait in a tier, beside the tier's target."""

    tier: TierName
    pool: Pool
    p50_seconds: float
    p90_seconds: float
    target_seconds: int
    waiting: int


class PoolState(BaseModel):
    """A GPU pool. `capacity`: jobs that can run at once on the workers that serve it first;
    `helping`: those of other pools' workers that are free for it."""

    pool: Pool
    waiting: int
    running: int
    capacity: float
    helping: float


class QueueAnswer(BaseModel):
    """The caller's place in the queue, and how long everybody waits. `at` is when the queue was
    looked at; null before the first look."""

    tier: TierName
    pool: Pool
    waiting: int
    waiting_allowed: int
    running: int
    running_allowed: int
    jobs: list[WaitingJob]
    tiers: list[TierWait]
    pools: list[PoolState]
    at: datetime | None


class TierState(TierWait):
    """A tier as an administrator sees it. `users` have something waiting, `noisy_users` of them
    more in flight than `share`, the slots that one user of the tier is entitled to.
    `estimates_kept`: the share of jobs that started before the p90 that they were told."""

    running: int
    oldest_wait_seconds: float
    share: float
    users: int
    noisy_users: int
    estimates_kept: float | None


class WorkerState(BaseModel):
    """A worker that was heard of lately."""

    name: str
    pools: list[str]
    slots: int
    models: list[str]
    started_at: datetime
    seen_at: datetime


class DeadLetter(BaseModel):
    """A job that has failed for good; its owner was not charged."""

    id: UUID
    user_id: UUID
    pool: str
    tier: str
    model: str
    quoted_millicredits: int
    attempt: int
    failures: int
    error: dict[str, Any] | None
    created_at: datetime
    finished_at: datetime


class AdminQueueAnswer(BaseModel):
    """The whole queue by pool and tier, who serves it, and what has failed, newest first."""

    at: datetime | None
    tiers: list[TierState]
    pools: list[PoolState]
    workers: list[WorkerState]
    dead_letters: Page[DeadLetter]
