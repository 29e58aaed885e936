"""Accept a job: gates, limits, hold, job row, outbox and stored answer in one round trip.

The decisions that need the database are taken by `generation.accept_job`, in one statement and one
commit; what they are taken by (prices, limits, estimates) is reckoned here. A refusal comes back
with its facts and is raised as the problem that the pure rules would raise.
"""

import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import Response

from libs.auth.principals import Principal
from libs.credits.caps import SpendCapReached
from libs.credits.ledger import insufficient_credits
from libs.db.engine import Sessions
from libs.db.single_statements import SingleStatements
from libs.db.transaction import transaction
from libs.jobs.celery_app import queue_of_pool
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.telemetry.tracing import current_traceparent
from libs.tiers.admission import refusal_of
from libs.tiers.catalogue import DEFAULT_TIER, load_catalogue
from libs.tiers.gates import require_base, require_hourly_room, require_waiting_room
from libs.web.idempotency import (
    REPLAYED,
    IdempotencyKeyReused,
    IdempotentRequestRunning,
    find_answer,
    hash_request,
)
from services.generation.ingredients import Sources
from services.generation.price_breakdown import dump_price
from services.generation.problems import QueueFull
from services.generation.schemas import GenerationRequest
from services.generation.service.admission import Offer, make_offer, require_within_maximum
from services.generation.service.waits import Waits
from services.generation.wake_ups import WAKE_UP
from services.model.client.contracts import ModelInfo

OPERATION = "create_generation"  # as `generation.accept_job` stores answers
HOLD_LIFETIME = timedelta(days=7)  # a backstop: a job settles its hold when it ends
ACCEPT = "SELECT outcome, facts, body FROM generation.accept_job($1::jsonb, $2::jsonb, $3::jsonb)"
TIERS = load_catalogue().tiers
PLANS = json.dumps(
    {
        "default": DEFAULT_TIER,
        **{
            tier.name: {
                "bases": tier.bases,
                "running_jobs": tier.running_jobs,
                "waiting_jobs": tier.waiting_jobs,
                "creates_per_hour": tier.creates_per_hour,
                "pool": tier.gpu_pool,
                "queue": queue_of_pool(tier.gpu_pool),
            }
            for tier in TIERS
        },
    }
)


@dataclass(frozen=True)
class Wish:
    """Who wants what, reckoned through: all that the database decides about."""

    principal: Principal
    model: ModelInfo
    offer: Offer
    repeat_key: str | None
    request_hash: str | None
    expires_in: int | None


async def create_generation(
    statements: SingleStatements,
    waits: Waits,
    principal: Principal,
    request: GenerationRequest,
    model: ModelInfo,
    sources: Sources,
    *,
    repeat_key: str | None,
    clock: Clock,
) -> Response:
    """Accept a job, or answer what a request with this Idempotency-Key was answered before.

    Raises TierRequired (403), PriceAboveMaximum (422), WaitingLimitReached, HourlyLimitReached and
    QueueFull (429), InsufficientCredits and SpendCapReached (402), IdempotencyKeyReused (422) and
    IdempotentRequestRunning (409).
    """
    offer = make_offer(request, model, sources)
    require_within_maximum(request, offer.price)
    request_hash = hash_request(request) if repeat_key else None
    wish = Wish(principal, model, offer, repeat_key, request_hash, request.expires_in)
    forecast = await waits.read()
    job_id, now = new_id(), clock()
    document = describe_job(wish, job_id, now)
    row = await statements.fetch_row(ACCEPT, json.dumps(document), PLANS, forecast.tables)
    headers = {"Location": location_of(job_id)}
    if row["outcome"] == "replayed":
        headers = {**json.loads(row["facts"]), **REPLAYED}
    elif row["outcome"] != "accepted":
        refuse(row["outcome"], json.loads(row["facts"] or "{}"), wish)
    return Response(row["body"], 202, headers, "application/json")


async def find_accepted(
    sessions: Sessions, user_id: UUID, request: GenerationRequest, repeat_key: str | None
) -> Response | None:
    """What a request with this Idempotency-Key was answered before, if it was accepted.

    Raises IdempotencyKeyReused.
    """
    if repeat_key is None:
        return None
    async with transaction(sessions, user_id) as session:
        return await find_answer(
            session, user_id=user_id, operation=OPERATION, key=repeat_key, request=request
        )


def describe_job(wish: Wish, job_id: UUID, now: datetime) -> dict[str, Any]:
    """What `generation.accept_job` is told."""
    principal, offer = wish.principal, wish.offer
    expires_at = now + timedelta(seconds=wish.expires_in) if wish.expires_in else None
    user_id, moment = str(principal.user_id), now.isoformat()
    request = offer.request.model_dump(mode="json")
    return {
        "id": str(job_id),
        "user_id": user_id,
        "now": moment,
        "model": wish.model.slug,
        "base": wish.model.base,
        "request": request,
        "price": offer.price,
        "price_version": offer.breakdown.price_version,
        "key_id": str(principal.key_id) if principal.key_id else None,
        "expires_at": expires_at.isoformat() if expires_at else None,
        "hold_expires_at": (now + HOLD_LIFETIME).isoformat(),
        "repeat_key": wish.repeat_key,
        "request_hash": wish.request_hash,
        "headers": {"Location": location_of(job_id)},
        "traceparent": current_traceparent(),
        "task": WAKE_UP,
        "event": {"topic": "job.queued", "user_id": user_id, "job_id": str(job_id), "at": moment},
        "answer": describe_answer(wish, job_id, now, expires_at, request),
    }


def describe_answer(
    wish: Wish, job_id: UUID, now: datetime, expires_at: datetime | None, request: dict[str, Any]
) -> dict[str, Any]:
    """A `GenerationAnswer` as JSON, without tier and estimate, which the database adds."""
    return {
        "id": str(job_id),
        "status": "queued",
        "model": wish.model.slug,
        "request": request,
        "quoted_millicredits": wish.offer.price,
        "quoted_credits": wish.offer.breakdown.total_credits,
        "price": dump_price(wish.offer.breakdown),
        "captured_millicredits": None,
        "images_done": 0,
        "image_ids": [],
        "error": None,
        "created_at": rfc3339(now),
        "started_at": None,
        "finished_at": None,
        "expires_at": rfc3339(expires_at) if expires_at else None,
    }


def rfc3339(moment: datetime) -> str:
    """A UTC time as every other answer writes it."""
    return moment.isoformat().replace("+00:00", "Z")


def location_of(job_id: UUID) -> str:
    """Where a job can be watched."""
    return f"/api/v1/generations/{job_id}"


def refuse(outcome: str, facts: dict[str, Any], wish: Wish) -> None:
    """Raise the problem of an outcome other than acceptance."""
    if outcome == "running":
        raise IdempotentRequestRunning(headers={"Retry-After": "1"})
    if outcome == "reused":
        raise IdempotencyKeyReused()
    price = wish.offer.price
    if outcome == "insufficient":
        raise insufficient_credits(price, facts["available"])
    if outcome == "capped":
        raise SpendCapReached(facts["cap"], price)
    tier = load_catalogue().tier(facts["tier"])
    require_base(tier, wish.model.base)
    if outcome == "full":
        refusal = refusal_of(tier.target_wait_p95_seconds, facts["expected_wait"])
        raise QueueFull(tier.name, refusal)
    if outcome == "waiting":
        wait = math.ceil(facts["next_start"])
        require_waiting_room(tier, facts["waiting"], expected_wait_seconds=wait)
    require_hourly_room(tier, facts["created"], oldest_age_seconds=facts["oldest_age"] or 0)
    raise AssertionError(f"the database refused for {outcome}, the rules do not")
