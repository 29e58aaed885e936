"""Every order of the events of a life ends in one state: as if each had come at its time.

Through the real inbox, on real PostgreSQL. The reference is the life as it happened, each event
applied at its own time with the timers in between; the others are applied late, when all is over,
in another order and with duplicates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.credits.audit import ledger_check
from libs.db.engine import Sessions
from libs.testkit.lemon_squeezy.books import Event, new_books
from services.payment import rounds
from tests.services.payment.lives import at
from tests.services.payment.till import SMALL_PACK, Till, open_till
from tests.services.payment.told_lives import (
    buys_packs,
    changes_and_pauses,
    fails,
    grows,
    hesitates,
    is_paid_and_ends,
    is_refunded,
    is_refunded_in_part,
    lives_long,
    shrinks,
    tries_and_cancels,
)
from tests.services.payment.visible_state import visible_state

SessionsOf = Callable[[str], Sessions]
Life = Callable[[Till], None]
BEGIN = at("2027-01-31 10:00")

SHORT = [
    buys_packs,
    is_refunded_in_part,
    is_refunded,
    tries_and_cancels,
    grows,
    shrinks,
    fails,
    hesitates,
    is_paid_and_ends,
]
LONG = [lives_long, changes_and_pauses]


async def state_of(till: Till) -> dict[str, Any]:
    """What is seen after the timers have struck."""
    await rounds.settle_due_users(till.desk)
    await rounds.end_expired_credits(till.desk)
    await rounds.grant_free_months(till.desk)
    return await visible_state(till)


STORES = count()
EXPECTED: dict[Life, tuple[dict[str, Any], range]] = {}  # of the long lives, worked out once


@dataclass(frozen=True)
class Stage:
    """Customers with one and the same life, each of another provider's store."""

    sessions: SessionsOf
    life: Life

    async def customer(self) -> tuple[Till, list[Event]]:
        """Somebody who has lived this life, and all events of it; none has arrived."""
        books = new_books(BEGIN, seed=f"store {next(STORES)}")
        till = await open_till(self.sessions, books=books, now=BEGIN)
        self.life(till)
        return till, till.told()

    async def as_it_happened(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The state when these events are applied at their times, with the timers in between."""
        till, events = await self.customer()
        for event in (events[number] for number in numbers):
            till.now = event.at
            await rounds.settle_due_users(till.desk)
            await rounds.end_expired_credits(till.desk)
            await till.apply(event)
        till.now = None
        return await state_of(till)

    async def late(self, order: Sequence[int]) -> dict[str, Any]:
        """The state when all arrive at the end, in this order; a number may come again."""
        till, events = await self.customer()
        till.now = None
        for number in order:
            await till.apply(events[number])
        assert {state for _, state, _ in await till.inbox()} == {"applied"}
        return await state_of(till)


def essential(events: Sequence[Event]) -> list[int]:
    """Numbers of the events that say something new: no second name for a state, nothing free."""
    seen: set[object] = set()
    numbers = []
    for number, event in enumerate(events):
        data = event.document["data"]
        told = data["attributes"]
        state = (data["type"], data["id"], told["updated_at"], told["status"])
        if state not in seen and not is_beside(data["type"], told):
            numbers.append(number)
        seen.add(state)
    return numbers


def is_beside(kind: str, told: dict[str, Any]) -> bool:
    """The order of a plan, and what cost nothing."""
    if kind == "orders":
        return bool(told["first_order_item"]["variant_id"] < SMALL_PACK)
    return kind == "subscription-invoices" and told["total"] == 0


@pytest.fixture
def pools(sessions: SessionsOf) -> SessionsOf:
    """One pool a role for all customers."""
    return cache(sessions)


async def assert_the_ledger_adds_up(pools: SessionsOf) -> None:
    async with pools("billing").begin() as session:
        assert await ledger_check(session) == []


@pytest.mark.parametrize("life", SHORT)
async def test_every_order_of_a_short_life_ends_in_one_state(pools: SessionsOf, life: Life) -> None:
    stage = Stage(pools, life)
    _, events = await stage.customer()
    numbers = essential(events)
    assert 2 <= len(numbers) <= 5
    expected = await stage.as_it_happened(numbers)
    for order in permutations(numbers):
        assert await stage.late([*order, order[0]]) == expected, order
    await assert_the_ledger_adds_up(pools)


@pytest.mark.parametrize("life", LONG)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_orders_of_a_long_life_end_in_one_state(
    pools: SessionsOf, life: Life, data: st.DataObject
) -> None:
    stage = Stage(pools, life)
    if life not in EXPECTED:
        _, events = await stage.customer()
        numbers = range(len(events))
        EXPECTED[life] = await stage.as_it_happened(numbers), numbers
    expected, numbers = EXPECTED[life]
    order = data.draw(st.permutations(numbers))
    again = data.draw(st.lists(st.sampled_from(numbers), max_size=5))
    assert await stage.late([*order, *again]) == expected
    await assert_the_ledger_adds_up(pools)
