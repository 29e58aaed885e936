"""Queries of the workers: claim, renew, hand back, finish. All are fenced by (id, attempt).

A worker whose attempt is no longer the newest, or whose job is not running any more, changes
nothing: every statement names both and answers whether it hit.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.tiers.catalogue import Tier
from services.generation.models import Job

LEASE_SECONDS = 15

LOCK_POOL = text("SELECT virtual_time FROM generation.pool_clocks WHERE pool = :pool FOR UPDATE")
NEXT_JOB = text(
    """
    SELECT j.id, j.tier, j.user_id, j.quoted_millicredits,
        greatest(t.finish_tag, CAST(:now_tag AS numeric), 0) AS tier_start,
        greatest(u.finish_tag, t.virtual_time, 0) AS user_start
    FROM generation.jobs j
    JOIN unnest(CAST(:tiers AS text[]), CAST(:limits AS int[])) AS l(tier, running)
        ON l.tier = j.tier
    LEFT JOIN generation.tier_clocks t ON t.pool = j.pool AND t.tier = j.tier
    LEFT JOIN generation.user_clocks u
        ON u.pool = j.pool AND u.tier = j.tier AND u.user_id = j.user_id
    WHERE j.pool = :pool AND j.state = 'queued' AND j.due_at <= now()
        AND (j.expires_at IS NULL OR j.expires_at > now())
        AND l.running > (
            SELECT count(*) FROM generation.jobs r
            WHERE r.user_id = j.user_id AND r.state = 'running'
        )
    ORDER BY tier_start, user_start, j.id
    LIMIT 1 FOR UPDATE OF j SKIP LOCKED
    """
)
CLAIM = text(
    f"""
    UPDATE generation.jobs SET state = 'running', attempt = attempt + 1, worker = :worker,
        lease_until = now() + interval '{LEASE_SECONDS} seconds',
        started_at = coalesce(started_at, now())
    WHERE id = :id
    """
)
ADVANCE_CLOCKS = (
    text("UPDATE generation.pool_clocks SET virtual_time = :tier_start WHERE pool = :pool"),
    text(
        """
        INSERT INTO generation.tier_clocks (pool, tier, finish_tag, virtual_time)
        VALUES (:pool, :tier, :tier_finish, :user_start)
        ON CONFLICT (pool, tier) DO UPDATE
        SET finish_tag = excluded.finish_tag, virtual_time = excluded.virtual_time
        """
    ),
    text(
        """
        INSERT INTO generation.user_clocks (pool, tier, user_id, finish_tag)
        VALUES (:pool, :tier, :user_id, :user_finish)
        ON CONFLICT (pool, tier, user_id) DO UPDATE SET finish_tag = excluded.finish_tag
        """
    ),
)
RENEW = text(
    f"""
    UPDATE generation.jobs SET lease_until = now() + interval '{LEASE_SECONDS} seconds'
    WHERE id = :id AND attempt = :attempt AND state = 'running'
    RETURNING cancel_requested
    """
)
HAND_BACK = text(
    """
    UPDATE generation.jobs SET state = 'queued', lease_until = NULL, worker = NULL,
        failures = failures + :failures,
        due_at = now() + make_interval(secs => CAST(:delay_seconds AS float8))
    WHERE id = :id AND attempt = :attempt AND state = 'running'
    RETURNING failures
    """
)
FINISH = text(
    """
    UPDATE generation.jobs SET state = :state, lease_until = NULL, finished_at = now(),
        captured_millicredits = :captured, images_done = :images_done,
        error = CAST(:error AS jsonb)
    WHERE id = :id AND attempt = :attempt AND state = 'running'
    RETURNING id
    """
)


class LeaseLost(Exception):
    """Another attempt owns the job, or it has ended: this worker must write nothing more."""


@dataclass(frozen=True)
class Claim:
    """The right to work on a job until the lease ends; `attempt` is the fencing number."""

    job_id: UUID
    attempt: int

    def key(self) -> dict[str, Any]:
        """What every fenced statement names."""
        return {"id": self.job_id, "attempt": self.attempt}


async def claim_next(
    session: AsyncSession, *, pool: str, worker: str, tiers: tuple[Tier, ...]
) -> Job | None:
    """Choose and claim the job of a pool that is due by weighted fair order, or None.

    Start-time fair queueing over tiers by weight and over users inside a tier; cost is the quote
    (GPU-milliseconds). The pool's clock row serialises the choice.
    """
    now_tag = await session.scalar(LOCK_POOL, {"pool": pool})
    limits = {"tiers": [t.name for t in tiers], "limits": [t.running_jobs for t in tiers]}
    found = await session.execute(NEXT_JOB, {"pool": pool, "now_tag": now_tag, **limits})
    chosen = found.one_or_none()
    if chosen is None:
        return None
    await session.execute(CLAIM, {"id": chosen.id, "worker": worker})
    weight = next(tier.weight for tier in tiers if tier.name == chosen.tier)
    clocks = {
        "pool": pool,
        "tier": chosen.tier,
        "user_id": chosen.user_id,
        "tier_start": chosen.tier_start,
        "user_start": chosen.user_start,
        "tier_finish": chosen.tier_start + chosen.quoted_millicredits / Decimal(weight),
        "user_finish": chosen.user_start + chosen.quoted_millicredits,
    }
    for statement in ADVANCE_CLOCKS:
        await session.execute(statement, clocks)
    return await session.get_one(Job, chosen.id)


async def renew(session: AsyncSession, claim: Claim) -> bool:
    """Extend the lease; True if the user wants the job cancelled. Raises LeaseLost."""
    cancel_requested = await session.scalar(RENEW, claim.key())
    if cancel_requested is None:
        raise LeaseLost(str(claim.job_id))
    return bool(cancel_requested)


async def hand_back(
    session: AsyncSession, claim: Claim, *, delay_seconds: float, failures: int
) -> int:
    """Put the job back into the queue; answers how often it has failed. Raises LeaseLost."""
    values = {**claim.key(), "delay_seconds": delay_seconds, "failures": failures}
    total = await session.scalar(HAND_BACK, values)
    if total is None:
        raise LeaseLost(str(claim.job_id))
    return int(total)


async def finish(
    session: AsyncSession,
    claim: Claim,
    *,
    state: str,
    captured: int,
    images_done: int,
    error: dict[str, str] | None,
) -> None:
    """Write a final state. Raises LeaseLost, upon which the whole transaction must roll back."""
    values = {
        **claim.key(),
        "state": state,
        "captured": captured,
        "images_done": images_done,
        "error": None if error is None else json.dumps(error),
    }
    if await session.scalar(FINISH, values) is None:
        raise LeaseLost(str(claim.job_id))
