"""Customers who order pictures over HTTP and do not give up while the API is away."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.testkit.tokens import TokenIssuer
from libs.tiers.catalogue import TierName
from tests.services.generation.queue_of_jobs import give_credits

PLENTY = 10**9
AT_ONCE = 8
RETRY_SECONDS = 0.2
CANCELLED_SHARE = 0.03
TRY_AGAIN = {409, 429, 500, 502, 503, 504}
# How the jobs of a hundred are spread: tier, customers, jobs of each.
TIERS: tuple[tuple[TierName, int, int], ...] = (
    ("enterprise", 2, 45),
    ("studio", 1, 6),
    ("pro", 2, 2),
)
SET_TIER = text("INSERT INTO ops.entitlements (user_id, tier) VALUES (:user, :tier)")


@dataclass(frozen=True)
class Customer:
    """Somebody with credits, and how many jobs they order."""

    id: UUID
    jobs: int


async def make_customers(jobs: int, billing: Sessions, admin: Sessions) -> list[Customer]:
    """Customers who order so many jobs together, a multiple of a hundred."""
    customers = [
        (Customer(uuid4(), ordered), tier)
        for _ in range(jobs // 100)
        for tier, count, ordered in TIERS
        for _ in range(count)
    ]
    for customer, tier in customers:
        await give_credits(billing, customer.id, PLENTY)
        async with transaction(admin, customer.id) as session:
            await session.execute(SET_TIER, {"user": customer.id, "tier": tier})
    return [customer for customer, _ in customers]


def wish(dice: random.Random) -> dict[str, Any]:
    """A small picture, sometimes two."""
    return {
        "model": "demo",
        "prompt": f"a red apple {dice.random()}",
        "width": 64,
        "height": 64,
        "steps": dice.randint(2, 10),
        "seed": dice.randrange(2**32),
        "num_images": dice.choice((1, 1, 1, 2)),
    }


@dataclass(frozen=True)
class Shop:
    """The API as customers see it: `url` is asked again until it answers."""

    http: httpx.AsyncClient
    issuer: TokenIssuer
    dice: random.Random

    async def insist(
        self, path: str, customer: UUID, accepted: Callable[[httpx.Response], bool], **rest: Any
    ) -> httpx.Response:
        """Post until an answer is final."""
        headers = {**self.issuer.headers(customer), **rest.pop("headers", {})}
        while True:
            try:
                answer = await self.http.post(path, headers=headers, **rest)
            except httpx.HTTPError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if accepted(answer):
                return answer
            assert answer.status_code in TRY_AGAIN, answer.text
            await asyncio.sleep(RETRY_SECONDS)

    async def order(self, customer: UUID) -> UUID:
        """One job, whatever happens in between; its id."""
        answer = await self.insist(
            "/api/v1/generations",
            customer,
            lambda answer: answer.status_code == 202,
            json=wish(self.dice),
            headers={"Idempotency-Key": uuid4().hex},
        )
        job = UUID(answer.json()["id"])
        if self.dice.random() < CANCELLED_SHARE:
            await asyncio.sleep(self.dice.random() * 2)
            await self.insist(
                f"/api/v1/generations/{job}/cancel",
                customer,
                lambda answer: answer.status_code in (200, 202, 409),
            )
        return job


async def order_everything(url: str, issuer: TokenIssuer, customers: list[Customer]) -> list[UUID]:
    """The ids of all jobs, once all are accepted."""
    places = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        shop = Shop(http, issuer, random.Random(5))

        async def order(customer: UUID) -> UUID:
            async with places:
                return await shop.order(customer)

        wishes = [customer.id for customer in customers for _ in range(customer.jobs)]
        shop.dice.shuffle(wishes)
        return await asyncio.gather(*map(order, wishes))
