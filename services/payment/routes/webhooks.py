"""What the payment provider tells us. Signed by it, answered once it is kept."""

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Request
from prometheus_client import Counter
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.auth.access import provider
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.clock import Clock
from libs.kernel.problems import BadRequest, PayloadTooLarge
from libs.web.openapi import problem_answers
from services.payment import inbox
from services.payment.inbox_problems import InvalidSignature

router = APIRouter(prefix="/api/v1/payments/webhooks", tags=["webhooks"])
PATH = "/api/v1/payments/webhooks/lemon-squeezy"
OUTCOMES = ("stored", "known", "forged", "unreadable", "oversized", "failed")
received = Counter("easel_webhooks_total", "Webhooks of the payment provider", ("outcome",))
for name in OUTCOMES:
    received.labels(name)  # a series that begins at 0 shows its first increase
OUTCOME_OF_STATUS = {400: "unreadable", 401: "forged", 413: "oversized"}


class WebhookAnswer(BaseModel):
    """`known`: this content came before, and nothing was done."""

    outcome: Literal["stored", "known"]


@router.post(
    "/lemon-squeezy",
    dependencies=[provider()],
    responses=problem_answers(BadRequest, InvalidSignature, PayloadTooLarge),
)
async def receive_webhook(
    request: Request, x_signature: Annotated[str, Header()] = ""
) -> WebhookAnswer:
    """Keep an event of the provider. Applied later, in one go; the same content counts once.

    `X-Signature` is the HMAC-SHA256 of the body in hex, under the secret of the store's webhook.
    """
    body = await request.body()
    inbox.verify_signature(
        request.app.state.settings.lemon_squeezy_webhook_secret, body, x_signature
    )
    event = inbox.read_event(body)
    sessions: Sessions = request.app.state.billing_sessions
    clock: Clock = request.app.state.clock
    async with transaction(sessions) as session:
        outcome = await inbox.receive(session, event, body, clock())
    received.labels(outcome).inc()
    return WebhookAnswer(outcome=outcome)


class CountRefusedWebhooks:
    """ASGI middleware, outside of the body limit: counts the webhooks that were not kept."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            return await self.app(scope, receive, send)

        async def send_and_count(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] != 200:
                received.labels(OUTCOME_OF_STATUS.get(message["status"], "failed")).inc()
            await send(message)

        await self.app(scope, receive, send_and_count)
