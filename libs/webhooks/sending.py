"""Sending deliveries: claim (one short transaction), send (none open), mark.

Each try is a task of its own, so that a slow endpoint keeps up nobody but itself.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from unicodedata import category

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.engine import Sessions
from libs.db.transaction import set_tenant
from libs.kernel.clock import Clock
from libs.mail.letters import letter, queue_letter
from libs.telemetry.logs import get_logger
from libs.web.outgoing import OutgoingClient, OutgoingFailed, UrlNotAllowed
from libs.webhooks import claims
from libs.webhooks.claims import Claim
from libs.webhooks.schedule import (
    GIVEN_UP_AFTER,
    GONE,
    Chance,
    is_success,
    read_retry_after,
    rest_after,
)
from libs.webhooks.signatures import signed_headers

log = get_logger(__name__)
MAX_UNDER_WAY = 100
KEPT_ANSWER_BYTES = 1024
LINE_BREAKS = "\n\r\t"
Outcome = Literal["delivered", "retried", "failed"]
AddressOf = Callable[[AsyncSession], Awaitable[str | None]]
deliveries = Counter("easel_webhook_tries_total", "Tries to deliver a webhook", ("outcome",))
for name in get_args(Outcome):
    deliveries.labels(name)  # a series that begins at 0 shows its first increase
seconds_of_try = Histogram("easel_webhook_try_seconds", "From the request to the answer's head")
under_way = Gauge("easel_webhook_tries_under_way", "Tries that wait for an answer")
disabled = Counter("easel_webhooks_disabled_total", "Endpoints that were disabled", ("reason",))
for name in ("gone", "failing"):
    disabled.labels(name)


@dataclass(frozen=True)
class Post:
    """What sending works with. `address_of` answers the tenant's e-mail address."""

    sessions: Sessions
    client: OutgoingClient
    address_of: AddressOf
    clock: Clock
    chance: Chance
    max_under_way: int = MAX_UNDER_WAY
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass(frozen=True)
class Reply:
    """What came of a request: a status with the begin of the answer, or why there is none."""

    seconds: float
    status: int | None = None
    answer: str = ""
    error: str | None = None
    wish: timedelta | None = None

    def entry(self, claim: Claim, now: datetime) -> dict[str, Any]:
        """The line of the delivery's log."""
        return {
            "attempt": claim.attempt,
            "at": now.isoformat(),
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "answer": self.answer,
            "error": self.error,
        }


async def send_due(post: Post, wake: asyncio.Event) -> int:
    """Begin to send what is due and has room; how many. `wake` is set when one of them has ended.

    `sessions` log in as easel_relay.
    """
    room = post.max_under_way - len(post.tasks)
    if room <= 0:
        return 0
    async with post.sessions.begin() as session:
        claimed = await claims.claim_due(session, post.clock(), room)
    for claim in claimed:
        task = asyncio.create_task(try_delivery(post, claim))
        post.tasks.add(task)
        task.add_done_callback(lambda ended: let_go(post, ended, wake))
    under_way.set(len(post.tasks))
    return len(claimed)


def let_go(post: Post, task: asyncio.Task[None], wake: asyncio.Event) -> None:
    """A try has ended; a failure of ours is logged, and its lease runs out."""
    post.tasks.discard(task)
    under_way.set(len(post.tasks))
    wake.set()
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("webhook_not_marked", error=repr(error))


async def try_delivery(post: Post, claim: Claim) -> None:
    """Send once, and write down what came of it."""
    reply = await send(post.client, claim, post.clock())
    seconds_of_try.observe(reply.seconds)
    now = post.clock()
    async with post.sessions.begin() as session:
        if is_success(reply.status):
            await claims.mark_delivered(session, claim, reply.entry(claim, now), now)
            outcome: Outcome = "delivered"
        else:
            outcome = await put_off(post, session, claim, reply, now)
    deliveries.labels(outcome).inc()


async def send(client: OutgoingClient, claim: Claim, now: datetime) -> Reply:
    """One request. Its URL is judged again: a name may lead elsewhere than when it was given."""
    body = claim.body.encode()
    signed = signed_headers(claim.secrets, claim.message_id, now, body)
    headers = {"Content-Type": "application/json", **signed}
    began, status, said, wish = time.monotonic(), None, bytearray(), None
    try:
        async with client.stream("POST", claim.url, headers=headers, content=body) as (head, rest):
            status, wish = head.status_code, read_retry_after(head.headers.get("retry-after"))
            async for chunk in rest:
                said += chunk
                if len(said) >= KEPT_ANSWER_BYTES:
                    break
    except (OutgoingFailed, UrlNotAllowed) as error:
        if status is None:
            return Reply(time.monotonic() - began, error=str(error))
    return Reply(time.monotonic() - began, status, readable(bytes(said)), wish=wish)


def readable(said: bytes) -> str:
    """The begin of an answer as text that can be kept and shown."""
    text = said[:KEPT_ANSWER_BYTES].decode("utf-8", "replace")
    return "".join(
        character if category(character) != "Cc" or character in LINE_BREAKS else "\ufffd"
        for character in text
    )


async def put_off(
    post: Post, session: AsyncSession, claim: Claim, reply: Reply, now: datetime
) -> Outcome:
    """A try has failed: when the next one is, and whether the endpoint is given up."""
    rest = rest_after(claim.tries, reply.wish, post.chance)
    next_try_at = None if rest is None else now + rest
    failing_since = await claims.mark_failed(
        session, claim, reply.entry(claim, now), now, next_try_at
    )
    if failing_since is not None:
        if reply.status == GONE:
            await disable(post, session, claim, "gone", now)
            return "failed"
        if now - failing_since >= GIVEN_UP_AFTER:
            await disable(post, session, claim, "failing", now)
            return "failed"
    return "failed" if rest is None else "retried"


async def disable(
    post: Post,
    session: AsyncSession,
    claim: Claim,
    reason: Literal["gone", "failing"],
    now: datetime,
) -> None:
    """Send nothing more to an endpoint, and tell its owner by e-mail."""
    if not await claims.disable_endpoint(session, claim.endpoint_id, reason, now):
        return
    disabled.labels(reason).inc()
    await set_tenant(session, claim.user_id)
    address = await post.address_of(session)
    if address is None:
        return
    why = {
        "gone": "It answered 410, which asks us to send nothing more.",
        "failing": f"No delivery has succeeded for {GIVEN_UP_AFTER.days} days.",
    }
    told = letter(
        f"webhook-disabled:{claim.endpoint_id}:{now.isoformat()}",
        "Your webhook was switched off",
        f"We send nothing more to {claim.url}",
        why[reason],
        "What was not delivered is kept for 30 days: mend the endpoint, enable it, and ask for what"
        " you want to have delivered again (the guide to webhooks says how).",
    )
    await queue_letter(session, claim.user_id, address, told, now)


async def forget_old_deliveries(post: Post) -> None:
    """Delete what ended a month ago, until there is none."""
    while True:
        async with post.sessions.begin() as session:
            if await claims.forget_old(session, post.clock()) < claims.FORGET_AT_ONCE:
                return
