"""Deliveries as their sender sees them: claim, mark, give up. All as easel_relay, for every tenant.

A claim is a lease under a fencing number: who dies while it sends leaves a delivery that is due
again when the lease ends, so a message goes out at least once. Locks are taken on the endpoint
first, then on its deliveries.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

LEASE = timedelta(seconds=30)  # longer than a try takes
AT_ONCE = 3  # tries of one endpoint under way; one while it fails
OF_USER = 8  # tries of all endpoints of one user
KEPT_TRIES = 20  # in the log of a delivery
KEPT_DAYS = timedelta(days=30)
FORGET_AT_ONCE = 1_000

# `waiting` walks the index from endpoint to endpoint: however much waits for one of them, the
# others are found at once. Users take turns: the first of each before the second of anybody.
CLAIM = text(
    """
    WITH RECURSIVE waiting AS (
        (SELECT endpoint_id FROM webhooks.deliveries WHERE state = 'pending'
            ORDER BY endpoint_id LIMIT 1)
        UNION ALL
        SELECT (SELECT d.endpoint_id FROM webhooks.deliveries d
                WHERE d.state = 'pending' AND d.endpoint_id > w.endpoint_id
                ORDER BY d.endpoint_id LIMIT 1)
            FROM waiting w WHERE w.endpoint_id IS NOT NULL
    ), due AS (
        SELECT ranked.id FROM (
        SELECT picked.id, picked.next_try_at, mine.under_way
            + row_number() OVER (PARTITION BY e.user_id ORDER BY picked.next_try_at) AS place
        FROM waiting w JOIN webhooks.endpoints e ON e.id = w.endpoint_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS under_way FROM webhooks.endpoints o
            JOIN webhooks.deliveries f ON f.endpoint_id = o.id
            WHERE o.user_id = e.user_id AND f.leased_until > :now
        ) mine
        CROSS JOIN LATERAL (
            SELECT d.id, d.next_try_at FROM webhooks.deliveries d
            WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.next_try_at <= :now
            ORDER BY d.next_try_at LIMIT greatest(0,
                CASE WHEN e.failing_since IS NULL THEN CAST(:at_once AS int) ELSE 1 END - (
                    SELECT count(*) FROM webhooks.deliveries f
                    WHERE f.endpoint_id = e.id AND f.leased_until > :now))
            FOR UPDATE SKIP LOCKED
        ) picked
        WHERE e.disabled_at IS NULL
        ) ranked WHERE place <= :of_user ORDER BY place, next_try_at LIMIT :limit
    )
    UPDATE webhooks.deliveries d SET attempt = d.attempt + 1, tries = d.tries + 1,
        leased_until = :free_again, next_try_at = :free_again
    FROM due, webhooks.endpoints e
    WHERE d.id = due.id AND e.id = d.endpoint_id
    RETURNING d.id, d.user_id, d.endpoint_id, d.message_id, d.body, d.attempt, d.tries, e.url,
        ARRAY(
            SELECT s.secret FROM webhooks.secrets s WHERE s.endpoint_id = e.id
                AND (s.expires_at IS NULL OR s.expires_at > :now) ORDER BY s.id DESC
        ) AS secrets
    """
)
# The newest tries of the log, the one of now among them.
LOG = f"""
    (SELECT jsonb_agg(entry ORDER BY place) FROM (
        SELECT entry, place FROM jsonb_array_elements(log || CAST(:entry AS jsonb))
            WITH ORDINALITY AS entries(entry, place) ORDER BY place DESC LIMIT {KEPT_TRIES}
    ) newest)
"""
# Delivered is delivered, even when the endpoint was disabled meanwhile.
MARK_DELIVERED = text(
    f"""
    UPDATE webhooks.deliveries SET state = 'delivered', finished_at = :now, leased_until = NULL,
        log = {LOG}
    WHERE id = :id AND attempt = :attempt AND state <> 'delivered' RETURNING id
    """
)
MARK_FAILED = text(
    f"""
    UPDATE webhooks.deliveries SET leased_until = NULL, log = {LOG},
        state = CASE WHEN CAST(:next_try_at AS timestamptz) IS NULL THEN 'failed' ELSE state END,
        finished_at = CASE WHEN CAST(:next_try_at AS timestamptz) IS NULL
            THEN CAST(:now AS timestamptz) END,
        next_try_at = coalesce(CAST(:next_try_at AS timestamptz), next_try_at)
    WHERE id = :id AND attempt = :attempt AND state = 'pending' RETURNING id
    """
)
WORKS = text(
    "UPDATE webhooks.endpoints SET failing_since = NULL"
    " WHERE id = :endpoint_id AND failing_since IS NOT NULL"
)
FAILS = text(
    "UPDATE webhooks.endpoints SET failing_since = coalesce(failing_since, :now)"
    " WHERE id = :endpoint_id AND disabled_at IS NULL RETURNING failing_since"
)
DISABLE = text(
    "UPDATE webhooks.endpoints SET disabled_at = :now, disabled_reason = :reason"
    " WHERE id = :endpoint_id AND disabled_at IS NULL RETURNING id"
)
# Who writes deliveries holds the endpoint: none is written unseen between the two that follow.
LOCK_ENDPOINT = text("SELECT id FROM webhooks.endpoints WHERE id = :endpoint_id FOR UPDATE")
GIVE_UP = text(
    "UPDATE webhooks.deliveries SET state = 'failed', finished_at = :now, leased_until = NULL"
    " WHERE endpoint_id = :endpoint_id AND state = 'pending'"
)
FORGET_DELIVERIES = text(
    """
    DELETE FROM webhooks.deliveries WHERE id IN (
        SELECT id FROM webhooks.deliveries WHERE finished_at < :before
        ORDER BY finished_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ) RETURNING id
    """
)
FORGET_SECRETS = text("DELETE FROM webhooks.secrets WHERE expires_at < :now")


@dataclass(frozen=True)
class Claim:
    """The right to try one delivery until the lease ends. `secrets` are valid, the newest first."""

    id: UUID
    user_id: UUID
    endpoint_id: UUID
    message_id: UUID
    body: str
    attempt: int
    tries: int
    url: str
    secrets: Sequence[str]


async def claim_due(session: AsyncSession, now: datetime, limit: int) -> list[Claim]:
    """Up to `limit` deliveries that are due, of each endpoint as many as may be under way."""
    values = {"now": now, "free_again": now + LEASE, "at_once": AT_ONCE, "limit": limit}
    values["of_user"] = OF_USER
    return [Claim(**row._mapping) for row in (await session.execute(CLAIM, values)).all()]


async def mark_delivered(
    session: AsyncSession, claim: Claim, entry: dict[str, Any], now: datetime
) -> None:
    """The other side has it: its endpoint works."""
    await session.execute(WORKS, {"endpoint_id": claim.endpoint_id})
    await session.execute(MARK_DELIVERED, marking(claim, entry, now))


async def mark_failed(
    session: AsyncSession,
    claim: Claim,
    entry: dict[str, Any],
    now: datetime,
    next_try_at: datetime | None,
) -> datetime | None:
    """Try again then, or never (None). Since when the endpoint fails; None if it is disabled."""
    failing_since: datetime | None = await session.scalar(
        FAILS, {"endpoint_id": claim.endpoint_id, "now": now}
    )
    values = {**marking(claim, entry, now), "next_try_at": next_try_at}
    await session.execute(MARK_FAILED, values)
    return failing_since


def marking(claim: Claim, entry: dict[str, Any], now: datetime) -> dict[str, Any]:
    """What names a try and tells of it."""
    return {"id": claim.id, "attempt": claim.attempt, "entry": json.dumps([entry]), "now": now}


async def disable_endpoint(
    session: AsyncSession, endpoint_id: UUID, reason: str, now: datetime
) -> bool:
    """Send nothing more there, and give up what waits; False if it was disabled before."""
    values = {"endpoint_id": endpoint_id, "reason": reason, "now": now}
    await session.execute(LOCK_ENDPOINT, {"endpoint_id": endpoint_id})
    if await session.scalar(DISABLE, values) is None:
        return False
    await session.execute(GIVE_UP, {"endpoint_id": endpoint_id, "now": now})
    return True


async def forget_old(session: AsyncSession, now: datetime) -> int:
    """Delete secrets that have expired and some deliveries that ended a month ago; how many."""
    await session.execute(FORGET_SECRETS, {"now": now})
    values = {"before": now - KEPT_DAYS, "limit": FORGET_AT_ONCE}
    return len((await session.execute(FORGET_DELIVERIES, values)).all())
