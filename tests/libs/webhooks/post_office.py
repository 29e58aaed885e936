"""Endpoints and messages in a real database, and the relay's side that sends them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.ids import new_id
from libs.web.outgoing import OutgoingClient
from libs.webhooks.addresses import webhook_policy
from libs.webhooks.messages import MESSAGE_TYPES, Message
from libs.webhooks.queue import queue_messages
from libs.webhooks.sending import Post, send_due
from libs.webhooks.signatures import make_secret

SessionsOf = Callable[[str], Sessions]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADDRESS = "ada@easel.example"
ADD_ENDPOINT = text(
    """
    INSERT INTO webhooks.endpoints (id, user_id, url, events, all_jobs, created_at)
    VALUES (:id, :user, :url, :events, :all_jobs, now())
    """
)
ADD_SECRET = text(
    """
    INSERT INTO webhooks.secrets (id, user_id, endpoint_id, secret, created_at, expires_at)
    VALUES (:id, :user, :endpoint, :secret, now(), :expires_at)
    """
)


async def address_of(_session: AsyncSession) -> str | None:
    return ADDRESS


@dataclass
class PostOffice:
    """A clock that the test turns, a chance that it fixes, and the two sides of the queue."""

    sessions: SessionsOf
    now: datetime = NOON
    max_under_way: int = 100
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    client: OutgoingClient = field(init=False)
    post: Post = field(init=False)

    def __post_init__(self) -> None:
        self.client = OutgoingClient(webhook_policy(allow_private=True))
        self.post = Post(
            sessions=self.sessions("relay"),
            client=self.client,
            address_of=address_of,
            clock=lambda: self.now,
            chance=lambda: 0.5,
            max_under_way=self.max_under_way,
        )
        self.admin = self.sessions("admin")
        self.worker = self.sessions("worker")

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    async def endpoint(
        self,
        user_id: UUID,
        url: str,
        *,
        events: Sequence[str] = MESSAGE_TYPES,
        all_jobs: bool = True,
    ) -> tuple[UUID, str]:
        """A new endpoint and its secret."""
        endpoint_id = new_id()
        values = {"id": endpoint_id, "user": user_id, "url": url}
        async with self.admin.begin() as session:
            await session.execute(
                ADD_ENDPOINT, {**values, "events": list(events), "all_jobs": all_jobs}
            )
        return endpoint_id, await self.secret(user_id, endpoint_id)

    async def secret(
        self, user_id: UUID, endpoint_id: UUID, expires_at: datetime | None = None
    ) -> str:
        secret = make_secret()
        values = {"id": new_id(), "user": user_id, "endpoint": endpoint_id}
        async with self.admin.begin() as session:
            await session.execute(
                ADD_SECRET, {**values, "secret": secret, "expires_at": expires_at}
            )
        return secret

    def message(self, kind: str = "generation.succeeded", **data: Any) -> Message:
        return Message(kind, self.now, data or {"generation_id": str(uuid4())})

    async def tell(self, user_id: UUID, *messages: Message, named: UUID | None = None) -> int:
        """Queue messages as the worker does when a job ends."""
        async with transaction(self.worker, user_id) as session:
            return await queue_messages(session, user_id, lambda: messages, named=named)

    async def send(self) -> int:
        """One round, and the ends of the tries that it began."""
        begun = await send_due(self.post, self.wake)
        await asyncio.gather(*self.post.tasks)
        return begun

    async def deliveries(self) -> list[Row[Any]]:
        async with self.admin() as session:
            return list(
                await session.execute(text("SELECT * FROM webhooks.deliveries ORDER BY id"))
            )

    async def endpoints(self) -> list[Row[Any]]:
        async with self.admin() as session:
            return list(await session.execute(text("SELECT * FROM webhooks.endpoints ORDER BY id")))

    async def letters(self) -> list[Row[Any]]:
        async with self.admin() as session:
            return list(await session.execute(text("SELECT * FROM ops.emails ORDER BY id")))
