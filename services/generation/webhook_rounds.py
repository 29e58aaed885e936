"""The rounds that send webhooks: part of the relay's process, on connections of their own."""

import asyncio
import secrets
from functools import partial

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db.engine import build_sessions
from libs.jobs.relay import listen_forever
from libs.jobs.rounds import repeat
from libs.kernel.clock import utc_now
from libs.web.outgoing import OutgoingClient
from libs.webhooks.addresses import webhook_policy
from libs.webhooks.queue import CHANNEL
from libs.webhooks.sending import Post, forget_old_deliveries, send_due
from services.generation.settings import RelaySettings
from services.generation.sweeper import last_round
from services.user.client.addresses import address_of_tenant

SEND_SECONDS = 1.0  # what a lost notification costs at most
FORGET_SECONDS = 3600.0
CHANCES = 1 << 30


def chance() -> float:
    """A number of [0, 1)."""
    return secrets.randbelow(CHANCES) / CHANCES


async def send_webhooks_forever(settings: RelaySettings, engine: AsyncEngine) -> None:
    """Send what is due at every notification and every second; forget what is old every hour."""
    client = OutgoingClient(webhook_policy(allow_private=settings.webhooks_allow_private))
    post = Post(build_sessions(engine), client, address_of_tenant, utc_now, chance)
    wake = asyncio.Event()
    dsn = settings.database_url.replace("+asyncpg", "")
    try:
        await asyncio.gather(
            listen_forever(dsn, wake, asyncpg.connect, CHANNEL),
            repeat(
                "webhooks",
                partial(send_due, post, wake),
                seconds=SEND_SECONDS,
                wake=wake,
                last_round=last_round,
            ),
            repeat(
                "old deliveries",
                partial(forget_old_deliveries, post),
                seconds=FORGET_SECONDS,
                wake=asyncio.Event(),
                last_round=last_round,
            ),
        )
    finally:
        await client.close()
