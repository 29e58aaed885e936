"""A customer's server that is told by webhooks, and the relay's side that sends to it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from libs.web.outgoing import OutgoingClient
from libs.webhooks.addresses import webhook_policy
from libs.webhooks.sending import Post, send_due
from services.generation.webhook_rounds import chance
from services.user.client.addresses import address_of_tenant
from tests.libs.webhooks.post_office import NOON, SessionsOf
from tests.libs.webhooks.receiver import Receiver, receiver
from tests.services.callers import Caller

PATH = "/api/v1/webhooks"


@pytest.fixture
async def shop(api: httpx.AsyncClient) -> AsyncIterator[Receiver]:
    """A customer's server on this machine, which the service is allowed to call."""
    transport = api._transport
    assert isinstance(transport, httpx.ASGITransport)
    transport.app.state.webhook_policy = webhook_policy(allow_private=True)  # type: ignore[attr-defined]
    async with receiver() as side:
        yield side


@pytest.fixture
async def post(sessions: SessionsOf) -> AsyncIterator[Post]:
    """The relay's sender, a day and a bit ahead of the database: all is due."""
    client = OutgoingClient(webhook_policy(allow_private=True))
    yield Post(sessions("relay"), client, address_of_tenant, lambda: LATER, chance)
    await client.close()


LATER = NOON.replace(year=2100)


async def deliver(post: Post) -> int:
    begun = await send_due(post, asyncio.Event())
    await asyncio.gather(*post.tasks)
    return begun


async def make(ada: Caller, shop: Receiver, **more: Any) -> dict[str, Any]:
    made = await ada.post(PATH, {"url": shop.url, **more})
    assert made.status_code == 201, made.text
    return dict(made.json())
