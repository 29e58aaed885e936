"""A provider's books on one side, our billing on the other, and the webhooks between them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from libs.credits.free_grants import open_account_with_a_free_month
from libs.credits.ledger import hold_credits
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.ids import new_id
from libs.testkit.lemon_squeezy.books import Books, Event, new_books, take_events
from libs.testkit.lemon_squeezy.checkouts import Purchase, purchase
from libs.testkit.lemon_squeezy.clock import advance
from services.payment.desk import Desk
from services.payment.inbox import read_event, receive
from services.payment.inbox_worker import apply_pending
from services.payment.offers import Shelf
from services.payment.service.standing import settle_user
from tests.services.payment.lives import at
from tests.services.payment.shop import VARIANTS

SHELF = Shelf(VARIANTS)
STARTER, PRO, STUDIO = 1001, 1011, 1021
SMALL_PACK = 2001


@dataclass
class Till:
    """One customer's account, and everything that the provider says about it."""

    user: Sessions
    generation: Sessions
    billing: Sessions
    admin: Sessions
    books: Books = field(default_factory=lambda: new_books(at("2027-01-31 10:00"), seed="till"))
    user_id: UUID = field(default_factory=uuid4)
    now: datetime | None = None  # another clock than the provider's

    def clock(self) -> datetime:
        return self.now or self.books.now

    @property
    def desk(self) -> Desk:
        return Desk(self.billing, SHELF, self.clock)

    async def sign_up(self) -> None:
        async with transaction(self.user, self.user_id) as session:
            await open_account_with_a_free_month(session, user_id=self.user_id, now=self.clock())

    def buy(self, variant: int, **options: Any) -> Purchase:
        """A checkout is paid; what it tells waits in the books."""
        custom = {"user_id": str(self.user_id)}
        return purchase(self.books, variant, email="ada@example.com", custom=custom, **options)

    async def spend(
        self,
        millicredits: int,
        *,
        hold_id: UUID | None = None,
        expires_at: datetime | None = None,
    ) -> None:
        """A job holds credits; nobody settles it."""
        async with transaction(self.generation, self.user_id) as session:
            await hold_credits(
                session,
                user_id=self.user_id,
                hold_id=hold_id or new_id(),
                amount=millicredits,
                expires_at=expires_at,
                now=self.clock(),
            )

    async def settle_at(self, moment: datetime) -> None:
        """A timer of the worker strikes."""
        self.now = moment
        async with self.billing.begin() as session:
            await settle_user(session, self.user_id, moment)

    def subscribe(self, variant: int, *, skip_trial: bool = True) -> int:
        """The provider's id of a new subscription."""
        made = self.buy(variant, skip_trial=skip_trial).subscription
        assert made is not None
        return made.id

    def told(self) -> list[Event]:
        """What the provider has told since the last time."""
        return take_events(self.books)

    def pass_time(self, **delta: float) -> None:
        """Let the provider's clock run."""
        advance(self.books, self.books.now + timedelta(**delta))

    async def receive(self, bodies: Iterable[bytes]) -> None:
        """Keep webhooks, each in its own transaction."""
        for body in bodies:
            async with self.billing.begin() as session:
                await receive(session, read_event(body), body, self.clock())

    async def apply(self, *events: Event) -> None:
        """Keep webhooks one after the other and apply each before the next comes."""
        for event in events:
            await self.receive([event.body])
            await apply_pending(self.desk)

    async def settle(self) -> None:
        """All that the provider has told so far arrives in order."""
        await self.apply(*self.told())

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """Any rows, with `:user`."""
        bound = {"user": self.user_id, **values} if ":user" in query else values
        async with self.admin() as session:
            return [tuple(row) for row in await session.execute(text(query), bound)]

    async def write(self, statement: str, **values: Any) -> None:
        """Change any rows, with `:user`, as nobody else may."""
        async with self.admin.begin() as session:
            await session.execute(text(statement), {"user": self.user_id, **values})

    async def tier(self) -> str:
        found = await self.rows("SELECT tier FROM ops.entitlements WHERE user_id = :user")
        return str(found[0][0]) if found else "free"

    async def credits(self) -> dict[str, int]:
        """Whole credits that can be spent, by kind."""
        found = await self.rows(
            "SELECT kind, sum(remaining)::bigint / 1000 FROM credits.open_grants"
            " WHERE user_id = :user AND remaining > 0 GROUP BY kind"
        )
        return dict(found)

    async def letters(self) -> set[str]:
        """Keys of the e-mails, without the provider's ids."""
        found = await self.rows("SELECT key FROM ops.emails WHERE user_id = :user")
        return {key.split(":")[0] for (key,) in found}

    async def inbox(self) -> list[tuple[str, str, str | None]]:
        """Event, state and problem of every webhook, as they came."""
        return await self.rows("SELECT event_name, state, problem FROM billing.inbox ORDER BY id")


SessionsOf = Callable[[str], Sessions]


async def open_till(sessions: SessionsOf, **options: Any) -> Till:
    """A customer who has signed up."""
    till = Till(
        sessions("user"), sessions("generation"), sessions("billing"), sessions("admin"), **options
    )
    await till.sign_up()
    return till
