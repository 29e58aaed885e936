"""Queries of the workers: claim, renew, hand back, finish. All are fenced by (id, attempt, worker).

A worker whose attempt is no longer the newest, or whose job is not running any more, changes
nothing: every statement names all three and answers whether it hit. What is in flight stands in
`generation.leases`, which the database keeps in step with the jobs.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.tiers import fair_rules
from libs.tiers.catalogue import load_catalogue
from services.generation.models import FINAL_STATES, Job, Mark

LEASE_SECONDS = 15

TIERS = load_catalogue().tiers
RULES = fair_rules.rules_of(TIERS)
POLICY = {
    "tiers": [rule.name for rule in RULES],
    "weights": [rule.weight for rule in RULES],
    "running": [rule.running_jobs for rule in RULES],
    "bounds": [rule.bound_seconds for rule in RULES],
    "overdue_every": fair_rules.OVERDUE_EVERY,
    "unserved_every": fair_rules.UNSERVED_EVERY,
    "unserved_seconds": fair_rules.UNSERVED_SECONDS,
    "use_seconds": fair_rules.USE_SECONDS,
    "affinity_seconds": fair_rules.AFFINITY_SECONDS,
    "affinity_depth": fair_rules.AFFINITY_DEPTH,
    "lease_seconds": LEASE_SECONDS,
}
CLAIM = text(
    """
    SELECT * FROM generation.claim_job(:pool, :worker, CAST(:loaded AS text[]),
        ROW(CAST(:tiers AS text[]), CAST(:weights AS int[]), CAST(:running AS int[]),
            CAST(:bounds AS float8[]), :overdue_every, :unserved_every, :unserved_seconds,
            :use_seconds, :affinity_seconds, :affinity_depth, :lease_seconds),
        coalesce(CAST(:now AS timestamptz), now()))
    """
)
RENEW = text(
    f"""
    UPDATE generation.leases SET until = now() + interval '{LEASE_SECONDS} seconds'
    WHERE user_id = :user_id AND job_id = :id AND attempt = :attempt AND worker = :worker
    RETURNING cancel_requested, set_config('synchronous_commit', 'off', true)
    """
)
FENCE = "id = :id AND attempt = :attempt AND worker = :worker AND state = 'running'"
LOCK = text(f"SELECT id FROM generation.jobs WHERE {FENCE} FOR UPDATE")
WANTS_CANCEL = text(
    "SELECT cancel_requested FROM generation.leases WHERE user_id = :user_id AND job_id = :id"
)
REQUEST_CANCEL = text(
    "UPDATE generation.leases SET cancel_requested = true WHERE user_id = :user_id AND job_id = :id"
)
HAND_BACK = text(
    f"""
    UPDATE generation.jobs SET state = 'queued', worker = NULL, failures = failures + :failures,
        expires_at = CASE WHEN NOT :has_begun THEN expires_at END,
        due = CAST(:delay_seconds AS float8) <= 0,
        due_at = now() + make_interval(secs => CAST(:delay_seconds AS float8)),
        marks = marks || CAST(:marks AS jsonb) || jsonb_build_object(
            'name', 'queued', 'at', clock_timestamp(), 'reason', CAST(:reason AS text),
            'rest_seconds', CAST(:delay_seconds AS float8))
    WHERE {FENCE}
    RETURNING failures
    """
)
FINISH = text(
    f"""
    UPDATE generation.jobs SET state = :state, finished_at = clock_timestamp(),
        captured_millicredits = :captured, images_done = :images_done,
        error = CAST(:error AS jsonb), marks = marks || CAST(:marks AS jsonb)
    WHERE {FENCE}
    RETURNING id
    """
)
FORGO = text("UPDATE generation.jobs SET captured_millicredits = 0 WHERE id = :id")
UNDER_WAY = text(
    "SELECT id FROM generation.jobs WHERE id = ANY (:ids) AND state IN ('queued', 'running')"
)
GIVE_BACK = text(
    "SELECT generation.give_back(:user_id, :pool, :tier, :weight, CAST(:unused AS bigint))"
)


class LeaseLost(Exception):
    """Another attempt owns the job, or it has ended: this worker must write nothing more."""


@dataclass(frozen=True)
class Claim:
    """The right to work on a job until the lease ends; `attempt` and `worker` are the fence."""

    user_id: UUID
    job_id: UUID
    attempt: int
    worker: str

    def key(self) -> dict[str, Any]:
        """What every fenced statement names."""
        return {
            "user_id": self.user_id,
            "id": self.job_id,
            "attempt": self.attempt,
            "worker": self.worker,
        }


def claim_of(job: Job) -> Claim:
    """The claim under which a running job was read."""
    if job.worker is None:
        raise LeaseLost(f"{job.id} is in nobody's hands")
    return Claim(job.user_id, job.id, job.attempt, job.worker)


async def claim_next(
    session: AsyncSession,
    *,
    pool: str,
    worker: str,
    loaded: tuple[str, ...] = (),
    now: datetime | None = None,
) -> Job | None:
    """Claim the job of a pool whose turn it is, or None (`libs.tiers.fair_queue` says whose).

    `loaded` are the models that the worker has at hand; `now` is the database's clock if None.
    """
    values = {**POLICY, "pool": pool, "worker": worker, "loaded": list(loaded), "now": now}
    job: Job | None = await session.scalar(select(Job).from_statement(CLAIM), values)
    return job


async def jobs_under_way(session: AsyncSession, ids: Collection[UUID]) -> set[UUID]:
    """Those of the jobs, anybody's, that have not ended."""
    return set((await session.scalars(UNDER_WAY, {"ids": list(ids)})).all())


async def lock_ended(session: AsyncSession, job_id: UUID) -> Job | None:
    """A job that has ended, which nobody queues again before the transaction ends; None for one
    that is under way or gone."""
    query = select(Job).where(Job.id == job_id).with_for_update(read=True)
    job = await session.scalar(query)
    return None if job is None or job.state not in FINAL_STATES else job


async def renew(session: AsyncSession, claim: Claim) -> bool:
    """Extend the lease; True if the user wants the job cancelled. Raises LeaseLost.

    In a transaction of its own, whose commit does not wait for the disk: a renewal that a crash of
    the server loses makes the lease end sooner, and nothing worse.
    """
    cancel_requested = await session.scalar(RENEW, claim.key())
    if cancel_requested is None:
        raise LeaseLost(str(claim.job_id))
    return bool(cancel_requested)


async def request_cancel(session: AsyncSession, job: Job) -> None:
    """Tell the worker of a running job, which the caller has locked, to end it."""
    await session.execute(REQUEST_CANCEL, {"user_id": job.user_id, "id": job.id})


async def lock_claimed(session: AsyncSession, claim: Claim) -> bool:
    """Lock a job in flight; True if the user wants it cancelled. Raises LeaseLost."""
    if await session.scalar(LOCK, claim.key()) is None:
        raise LeaseLost(str(claim.job_id))
    return bool(await session.scalar(WANTS_CANCEL, claim.key()))


async def hand_back(
    session: AsyncSession,
    claim: Claim,
    *,
    reason: str,
    delay_seconds: float,
    failures: int,
    has_begun: bool = False,
    marks: Sequence[Mark] = (),
) -> None:
    """Put the job back into the queue, to rest for so long first; one that `has_begun` to be drawn
    is not given up for waiting any more. Raises LeaseLost."""
    values = {
        **claim.key(),
        "reason": reason,
        "delay_seconds": delay_seconds,
        "failures": failures,
        "has_begun": has_begun,
        "marks": json.dumps(list(marks)),
    }
    if await session.scalar(HAND_BACK, values) is None:
        raise LeaseLost(str(claim.job_id))


async def finish(
    session: AsyncSession,
    claim: Claim,
    *,
    state: str,
    captured: int,
    images_done: int,
    error: dict[str, str] | None,
    marks: Sequence[Mark] = (),
) -> None:
    """Write a final state. Raises LeaseLost, upon which the whole transaction must roll back."""
    values = {
        **claim.key(),
        "state": state,
        "captured": captured,
        "images_done": images_done,
        "error": None if error is None else json.dumps(error),
        "marks": json.dumps(list(marks)),
    }
    if await session.scalar(FINISH, values) is None:
        raise LeaseLost(str(claim.job_id))


async def forgo(session: AsyncSession, job_id: UUID) -> None:
    """Note that nothing was captured for a job that this transaction has finished."""
    await session.execute(FORGO, {"id": job_id})


async def give_back(session: AsyncSession, job: Job, executed: int) -> None:
    """Give the user and the tier back what a claimed job was charged in the order of service and
    did not use, in milli-credits. Claims wait for it: the last statement of its transaction."""
    unused = job.quoted_millicredits - executed
    if unused:
        weight = load_catalogue().tier(job.tier).weight
        values = {"user_id": job.user_id, "pool": job.pool, "tier": job.tier, "weight": weight}
        await session.execute(GIVE_BACK, {**values, "unused": unused})
