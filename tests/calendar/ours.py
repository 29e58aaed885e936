"""Our side of the calendar: the real verbs of sign-up, jobs, inbox, worker and rounds."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.free_grants import open_account_with_a_free_month
from libs.credits.ledger import InsufficientCredits, hold_credits, settle_hold
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.testkit.lemon_squeezy.books import Event
from services.payment import rounds
from services.payment.desk import Desk
from services.payment.inbox import read_event, receive, verify_signature
from services.payment.inbox_worker import apply_next
from services.payment.offers import Shelf
from tests.services.payment.shop import VARIANTS

SECRET = "calendar-webhook-secret"
SHELF = Shelf(VARIANTS)
LANES = 5  # what runs at once: as many as the pool keeps connections


@dataclass(frozen=True)
class NewHold:
    """A job that begins."""

    hold_id: UUID
    amount: int
    expires_at: datetime | None


@dataclass(frozen=True)
class Settlement:
    """A job that has ended."""

    hold_id: UUID
    captured: int


@dataclass
class Ours:
    """The database through the roles of the services, and the simulated time."""

    user: Sessions
    generation: Sessions
    billing: Sessions
    now: datetime

    @property
    def desk(self) -> Desk:
        return Desk(self.billing, SHELF, lambda: self.now)

    async def sign_up(self, user_id: UUID, now: datetime) -> None:
        """A new user, as the user service makes it."""
        async with transaction(self.user, user_id) as session:
            await open_account_with_a_free_month(session, user_id=user_id, now=now)

    async def run_jobs(
        self, user_id: UUID, settlements: Sequence[Settlement], holds: Sequence[NewHold]
    ) -> list[bool]:
        """A user's jobs: some end, some begin. Whether each new one is paid for."""
        async with transaction(self.generation, user_id) as session:
            for done in settlements:
                settled = await settle_hold(
                    session,
                    user_id=user_id,
                    hold_id=done.hold_id,
                    captured=done.captured,
                    now=self.now,
                )
                assert settled, f"{done} had ended before"
            return [await self._hold(session, user_id, hold) for hold in holds]

    async def _hold(self, session: AsyncSession, user_id: UUID, hold: NewHold) -> bool:
        try:
            await hold_credits(
                session,
                user_id=user_id,
                hold_id=hold.hold_id,
                amount=hold.amount,
                expires_at=hold.expires_at,
                now=self.now,
            )
        except InsufficientCredits:
            return False
        return True

    async def receive(self, events: Sequence[Event]) -> None:
        """Webhooks arrive in this order, with their signatures; several workers apply them."""
        if not events:
            return
        async with self.billing.begin() as session:
            for event in events:
                verify_signature(SECRET, event.body, event.signature(SECRET))
                await receive(session, read_event(event.body), event.body, self.now)
        workers = min(LANES, 1 + len(events) // 4)
        await asyncio.gather(*(self._apply() for _ in range(workers)))

    async def _apply(self) -> None:
        while await apply_next(self.desk):
            pass

    async def do_what_is_due(self) -> None:
        """The rounds of the worker, at once as there; free months when the tiers are known."""
        await asyncio.gather(
            rounds.settle_due_users(self.desk),
            rounds.end_expired_credits(self.desk),
            rounds.release_lost_holds(self.desk),
        )
        await rounds.grant_free_months(self.desk)


async def in_lanes(works: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Do all of it, so much at once."""
    waiting = iter(list(works))

    async def lane() -> None:
        for work in waiting:
            await work()

    await asyncio.gather(*(lane() for _ in range(LANES)))
