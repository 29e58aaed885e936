"""The payment API beside real neighbours: the user service, and the double of the provider.

The provider's clock is everybody's clock. Its webhooks are handed over when a test says so.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from libs.auth.keys import TokenVerifier
from libs.auth.signing_keys import make_signing_key
from libs.db.engine import Sessions, build_engine, build_sessions
from libs.testkit.lemon_squeezy.books import sign
from libs.testkit.lemon_squeezy.client import DoubleClient
from libs.testkit.postgres import Database
from services.payment.app import build_app
from services.payment.desk import Desk
from services.payment.inbox_worker import apply_pending
from services.payment.rounds import end_expired_credits, settle_due_users
from services.user.app import build_app as build_user_app
from services.user.client.accounts import Accounts
from services.user.settings import UserSettings
from tests.services.callers import Caller
from tests.services.payment.shop import payment_settings

JWKS_URL = "http://user/api/v1/auth/.well-known/jwks.json"
WEBHOOKS = "/api/v1/payments/webhooks/lemon-squeezy"
LETTER = "SELECT text FROM ops.emails WHERE recipient = :email ORDER BY id DESC LIMIT 1"
PASSWORD = "correct horse battery"
CURRENT = "/api/v1/subscriptions/current"
BALANCE = "/api/v1/credits/balance"


@dataclass
class Clock:
    """What the payment service takes for the present."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Storefront:
    """The shop and its neighbours."""

    app: FastAPI
    api: httpx.AsyncClient
    users: httpx.AsyncClient
    provider: DoubleClient
    clock: Clock
    admin: Sessions
    told: set[int] = field(default_factory=set)

    async def customer(self, name: str) -> Caller:
        """Somebody who signs up: `name@example.com`."""
        body = {"email": f"{name}@example.com", "password": PASSWORD, "display_name": name}
        await self.users.post("/api/v1/auth/register", json=body)
        ((letter,),) = await self.rows(LETTER, email=body["email"])
        token = letter.partition("#token=")[2].split()[0]
        confirmation = {"token": token, "password": PASSWORD}
        answer = await self.users.post("/api/v1/auth/email/verify", json=confirmation)
        assert answer.status_code == 201, answer.text
        return await self.log_in(name)

    async def log_in(self, name: str) -> Caller:
        """A customer with a fresh token."""
        body = {"email": f"{name}@example.com", "password": PASSWORD}
        tokens = (await self.users.post("/api/v1/auth/login", json=body)).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        account = (await self.users.get("/api/v1/users/me", headers=headers)).json()
        return Caller(self.api, headers, UUID(account["id"]))

    async def tell(self) -> None:
        """Hand over what the provider has to tell, and apply it."""
        for delivery in await self.provider.deliveries():
            if delivery.id not in self.told:
                self.told.add(delivery.id)
                body = delivery.body.encode()
                secret = self.app.state.settings.lemon_squeezy_webhook_secret
                headers = {"X-Signature": sign(secret, body), "X-Event-Name": delivery.event}
                answer = await self.api.post(WEBHOOKS, content=body, headers=headers)
                assert answer.status_code == 200, answer.text
        await apply_pending(self.desk)

    @property
    def desk(self) -> Desk:
        """What the billing worker works with."""
        state = self.app.state
        return Desk(state.billing_sessions, state.shelf, self.clock)

    async def advance(self, **duration: float) -> None:
        """Let time pass for everybody; the billing worker does what has become due."""
        self.clock.now = await self.provider.advance(**duration)
        await self.tell()
        await settle_due_users(self.desk)
        await end_expired_credits(self.desk)

    async def checkout(self, customer: Caller, **wish: str) -> dict[str, Any]:
        """Ask for a checkout page."""
        answer = await customer.post("/api/v1/payments/checkout", wish)
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def buy(self, customer: Caller, **wish: str) -> None:
        """Ask for a checkout page, pay there, and let us hear of it."""
        await self.provider.pay((await self.checkout(customer, **wish))["checkout_url"])
        await self.tell()

    async def subscribe(self, customer: Caller, plan: str, interval: str = "month") -> None:
        """A plan that is paid for: its trial is over."""
        await self.buy(customer, plan=plan, interval=interval)
        await self.advance(days=7, minutes=1)

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """Any rows, as the database's administrator sees them."""
        async with self.admin() as session:
            return [tuple(row) for row in await session.execute(text(query), values)]

    async def current(self, customer: Caller) -> dict[str, Any]:
        """What the customer has now."""
        body: dict[str, Any] = (await customer.get(CURRENT)).json()
        return body

    async def credits(self, customer: Caller) -> dict[str, int]:
        """Whole credits that can be spent, by kind of grant."""
        grants = (await customer.get(BALANCE)).json()["grants"]
        kinds = {grant["kind"] for grant in grants}
        return {
            kind: sum(g["remaining_millicredits"] for g in grants if g["kind"] == kind) // 1000
            for kind in kinds
        }


@asynccontextmanager
async def open_storefront(
    database: Database, provider: DoubleClient, folder: Path, redis_url: str
) -> AsyncIterator[Storefront]:
    """Everything runs inside the block."""
    keys = folder / "keys"
    make_signing_key(keys, datetime.now(UTC))
    users = build_user_app(
        UserSettings(
            port=0,
            database_url=database.url("user"),
            jwks_url=JWKS_URL,
            redis_url=redis_url,
            public_url="https://easel.example",
            signing_keys=keys,
        )
    )
    clock, admin = Clock(await provider.now()), build_engine(database.admin_url, application="test")
    app = build_app(
        payment_settings(
            database_url=database.url("payment"),
            billing_database_url=database.url("billing"),
            lemon_squeezy_api_url=provider.api_url,
            lemon_squeezy_api_key=provider.settings.api_key,
            lemon_squeezy_store_id=str(provider.settings.store_id),
            lemon_squeezy_webhook_secret=provider.settings.webhook_secret,
        ),
        clock=clock,
    )
    async with (
        users.router.lifespan_context(users),
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(users), base_url="http://user") as to_users,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pay") as api,
    ):
        verifier = TokenVerifier(JWKS_URL, "easel", to_users)
        users.state.token_verifier = app.state.token_verifier = verifier
        app.state.accounts = Accounts("http://user", to_users)
        yield Storefront(app, api, to_users, provider, clock, build_sessions(admin))
        await admin.dispose()
