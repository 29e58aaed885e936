"""`Idempotency-Key` on real PostgreSQL."""

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.web.idempotency import (
    Answer,
    IdempotencyKeyReused,
    IdempotentRequestRunning,
    answer_once,
    find_answer,
)

SessionsOf = Callable[[str], Sessions]


class Order(BaseModel):
    amount: int


class Shop:
    """Counts how often work was really done."""

    def __init__(self, sessions: Sessions, user: UUID) -> None:
        self.sessions, self.user, self.done = sessions, user, 0
        self.busy, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def work(self) -> Answer:
        self.done += 1
        self.busy.set()
        await self.go_on.wait()
        return Answer(202, {"number": self.done}, {"Location": f"/orders/{self.done}"})

    async def order(self, amount: int, key: str | None) -> JSONResponse:
        async with transaction(self.sessions, self.user) as session:
            return await answer_once(
                session,
                user_id=self.user,
                operation="order",
                key=key,
                request=Order(amount=amount),
                run=self.work,
            )


@pytest.fixture
def shop(sessions: SessionsOf) -> Shop:
    return Shop(sessions("generation"), uuid4())


async def test_a_repeat_answers_the_same_and_does_nothing(shop: Shop) -> None:
    first, second = await shop.order(1, "k"), await shop.order(1, "k")
    assert first.body == second.body == b'{"number":1}'
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.headers["location"] == "/orders/1"
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert shop.done == 1


async def test_another_body_with_the_same_key_is_refused(shop: Shop) -> None:
    await shop.order(1, "k")
    with pytest.raises(IdempotencyKeyReused):
        await shop.order(2, "k")


async def test_while_the_first_runs_the_second_is_told_so(shop: Shop) -> None:
    shop.go_on.clear()
    first = asyncio.create_task(shop.order(1, "k"))
    await shop.busy.wait()
    with pytest.raises(IdempotentRequestRunning):
        await shop.order(1, "k")
    shop.go_on.set()
    assert (await first).status_code == 202
    assert (await shop.order(1, "k")).headers["idempotency-replayed"] == "true"


async def test_keys_belong_to_their_user(shop: Shop, sessions: SessionsOf) -> None:
    await shop.order(1, "k")
    other = Shop(sessions("generation"), uuid4())
    await other.order(2, "k")
    assert (shop.done, other.done) == (1, 1)


async def test_without_a_key_every_request_counts(shop: Shop) -> None:
    await shop.order(1, None)
    await shop.order(1, None)
    assert shop.done == 2


async def test_an_answer_is_found_before_the_work_is_begun(shop: Shop) -> None:
    async def find(amount: int, key: str | None) -> JSONResponse | None:
        async with transaction(shop.sessions, shop.user) as session:
            return await find_answer(
                session,
                user_id=shop.user,
                operation="order",
                key=key,
                request=Order(amount=amount),
            )

    assert await find(1, "k") is None
    first = await shop.order(1, "k")
    found = await find(1, "k")
    assert found is not None and found.body == first.body
    assert found.headers["idempotency-replayed"] == "true"
    assert await find(1, None) is None and await find(1, "other") is None
    with pytest.raises(IdempotencyKeyReused):
        await find(2, "k")
