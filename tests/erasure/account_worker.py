"""The account worker, and what works beside it, turned by hand."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from libs.events.connection import build_redis
from libs.jobs.celery_app import build_celery, queue_of_pool
from libs.jobs.relay import Relay, relay_batch
from libs.kernel.clock import utc_now
from services.generation.client.tier_changes import UPKEEP_QUEUE
from services.payment.desk import Desk
from services.payment.inbox_worker import apply_pending
from services.user.account_desk import AccountDesk
from services.user.erasing import SECOND_LOOK_AFTER, erase_due
from services.user.exporting import export_due
from services.user.service.erasure import BEGINS_AFTER
from tests.stack.running import Stack

SEND_ALL = "UPDATE ops.emails SET state = 'sent', sent_at = now() WHERE state = 'pending'"
OF = """
    SELECT state, steps, waits_for, error FROM identity.erasures WHERE user_id = :user
"""
MANY = 400


class LaterClock:
    """The present, and what it was moved by."""

    def __init__(self) -> None:
        self.moved = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.moved


@dataclass(frozen=True)
class Progress:
    """How far an erasure is."""

    state: str
    steps: dict[str, Any]
    waits_for: str | None
    error: str | None


@dataclass(frozen=True)
class AccountWorker:
    """Turns rounds when a test says so."""

    stack: Stack
    desk: AccountDesk

    def later(self, **duration: float) -> None:
        """Let time pass for the account worker."""
        assert isinstance(self.desk.clock, LaterClock)
        self.desk.clock.moved += timedelta(**duration)

    def erase_step(self) -> bool:
        """One step that is due now; False: none is."""
        return self.stack.run(erase_due(self.desk))

    def export_all(self) -> None:
        """Every archive that is due."""
        while self.stack.run(export_due(self.desk)):
            pass

    def progress(self, user_id: UUID) -> Progress:
        ((state, steps, waits_for, error),) = self.stack.sql(OF, user=user_id)
        return Progress(state, steps, waits_for, error)

    def relay(self) -> None:
        """Everything that waits in the outbox is sent, and workers take their wake-ups."""

        async def send() -> None:
            redis: Redis = build_redis(self.stack.redis_url)
            relay = Relay(self.stack.sessions("relay"), redis, build_celery(self.stack.redis_url))
            while await relay_batch(relay):
                pass
            for queue in (UPKEEP_QUEUE, *map(queue_of_pool, ("standard", "premium"))):
                await redis.delete(queue)
            await redis.aclose()

        self.stack.run(send())

    def send_letters(self) -> None:
        """Every letter reaches its reader."""
        self.stack.sql(SEND_ALL)

    def apply_webhooks(self) -> None:
        """Everything that the provider told is applied."""
        state = self.stack.apps["payment"].state

        async def apply() -> None:
            await self.stack.provider.idle()
            await apply_pending(Desk(state.billing_sessions, state.shelf, state.clock))

        self.stack.run(apply())

    def erase(self, user_id: UUID) -> None:
        """Until nothing is left of somebody: relay and letters go on beside."""
        self.later(seconds=BEGINS_AFTER.total_seconds())
        for _ in range(MANY):
            if self.progress(user_id).state in ("erased", "finished"):
                return
            self.relay()
            self.send_letters()
            self.apply_webhooks()
            if not self.erase_step():
                self.later(seconds=1)
        raise AssertionError(f"not erased: {self.progress(user_id)}")

    def look_again(self, user_id: UUID) -> None:
        """The second look of a day later, to its end."""
        self.later(seconds=SECOND_LOOK_AFTER.total_seconds())
        for _ in range(MANY):
            if self.progress(user_id).state == "finished":
                return
            self.apply_webhooks()
            if not self.erase_step():
                self.later(seconds=1)
        raise AssertionError(f"not finished: {self.progress(user_id)}")
