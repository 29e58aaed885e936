"""The verbs of webhooks: make, change, end, try out, deliver again."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
from libs.auth.principals import Principal
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.kernel.problems import ValidationFailed
from libs.web.pagination import Page, PageRequest, make_page
from libs.webhooks.messages import TEST_TYPE, Message
from libs.webhooks.models import Delivery, Endpoint
from libs.webhooks.signatures import make_secret
from services.generation.repository import webhooks
from services.generation.webhook_answers import show_delivery
from services.generation.webhook_problems import (
    DeliveryNotFound,
    TooManyWebhooks,
    WebhookDisabled,
    WebhookNotFound,
)
from services.generation.webhook_schemas import (
    DeliveryAnswer,
    NewWebhookAnswer,
    SecretAnswer,
    WebhookAnswer,
    WebhookChange,
    WebhookRequest,
)

MAX_WEBHOOKS = 10
OLD_SECRET_LIVES = timedelta(hours=24)
NOT_NULL = ("url", "description", "events", "all_jobs")


async def make_webhook(
    session: AsyncSession, principal: Principal, request: WebhookRequest, *, clock: Clock
) -> NewWebhookAnswer:
    """A new webhook with its secret; the URL was judged before. Raises TooManyWebhooks (409)."""
    now, used = clock(), await webhooks.count_endpoints(session, principal.user_id)
    if used >= MAX_WEBHOOKS:
        detail = f"{used} of {MAX_WEBHOOKS} are there"
        raise TooManyWebhooks(detail, limit=MAX_WEBHOOKS, used=used)
    wanted = request.model_dump()
    endpoint = Endpoint(id=new_id(), user_id=principal.user_id, created_at=now, **wanted)
    session.add(endpoint)
    await session.flush()
    secret = make_secret()
    await webhooks.add_secret(session, endpoint, secret, now)
    await tell(session, principal, "webhook.created", endpoint.id)
    return NewWebhookAnswer(secret=secret, **show_webhook(endpoint).model_dump())


async def list_webhooks(session: AsyncSession, page: PageRequest) -> Page[WebhookAnswer]:
    """The tenant's webhooks, newest first."""
    rows = await webhooks.list_endpoints(session, limit=page.limit, before=page.before)
    return make_page(rows, page.limit, show_webhook, lambda row: row.id)


async def get_webhook(session: AsyncSession, endpoint_id: UUID) -> WebhookAnswer:
    """One of the tenant's webhooks. Raises WebhookNotFound."""
    return show_webhook(found(await webhooks.find_endpoint(session, endpoint_id)))


async def change_webhook(
    session: AsyncSession, endpoint_id: UUID, change: WebhookChange, *, clock: Clock
) -> WebhookAnswer:
    """Change what is named; a new URL was judged before. Raises WebhookNotFound."""
    endpoint = found(await webhooks.lock_endpoint(session, endpoint_id))
    wanted = change.model_dump(exclude_none=True, include=set(NOT_NULL))
    for name, value in wanted.items():
        setattr(endpoint, name, value)
    if change.enabled is False and endpoint.disabled_at is None:
        endpoint.disabled_at, endpoint.disabled_reason = clock(), "owner"
        await session.flush()
        await webhooks.give_up(session, endpoint_id, clock())
    elif change.enabled:
        endpoint.disabled_at = endpoint.disabled_reason = endpoint.failing_since = None
    return show_webhook(endpoint)


async def delete_webhook(session: AsyncSession, principal: Principal, endpoint_id: UUID) -> None:
    """Delete a webhook with its deliveries: nothing more is sent. Raises WebhookNotFound."""
    if not await webhooks.delete_endpoint(session, endpoint_id):
        raise WebhookNotFound()
    await tell(session, principal, "webhook.deleted", endpoint_id)


async def rotate_secret(
    session: AsyncSession, principal: Principal, endpoint_id: UUID, *, clock: Clock
) -> SecretAnswer:
    """A new secret; the one of now signs beside it for a day. Raises WebhookNotFound."""
    now = clock()
    endpoint = found(await webhooks.lock_endpoint(session, endpoint_id))
    then = now + OLD_SECRET_LIVES
    await webhooks.end_secrets(session, endpoint_id, now=now, then=then)
    secret = make_secret()
    await webhooks.add_secret(session, endpoint, secret, now)
    await tell(session, principal, "webhook.secret_rotated", endpoint_id)
    return SecretAnswer(secret=secret, old_expires_at=then)


async def send_test(session: AsyncSession, endpoint_id: UUID, *, clock: Clock) -> DeliveryAnswer:
    """Send a message of the type `webhook.test`. Raises WebhookNotFound, WebhookDisabled (409)."""
    endpoint = require_enabled(await webhooks.lock_endpoint(session, endpoint_id))
    now = clock()
    message = Message(TEST_TYPE, now, {"webhook_id": str(endpoint_id)})
    delivery = Delivery(
        id=new_id(),
        user_id=endpoint.user_id,
        endpoint_id=endpoint_id,
        message_id=message.id,
        type=message.type,
        body=message.body(),
        next_try_at=now,
        created_at=now,
        log=[],
    )
    session.add(delivery)
    await session.flush()
    return show_delivery(delivery)


async def list_deliveries(
    session: AsyncSession, endpoint_id: UUID, page: PageRequest
) -> Page[DeliveryAnswer]:
    """What was sent to a webhook, newest first. Raises WebhookNotFound."""
    found(await webhooks.find_endpoint(session, endpoint_id))
    rows = await webhooks.list_deliveries(
        session, endpoint_id, limit=page.limit, before=page.before
    )
    return make_page(rows, page.limit, show_delivery, lambda row: row.id)


async def redeliver(
    session: AsyncSession, endpoint_id: UUID, delivery_id: UUID, *, clock: Clock
) -> DeliveryAnswer:
    """Send a message again at once, with all its tries; one that is being sent is left alone.

    Raises WebhookNotFound, DeliveryNotFound, WebhookDisabled (409).
    """
    endpoint = await webhooks.lock_endpoint(session, endpoint_id)
    require_enabled(endpoint)
    delivery = await webhooks.lock_delivery(session, endpoint_id, delivery_id)
    if delivery is None:
        raise DeliveryNotFound()
    if not is_leased(delivery, clock()):
        delivery.state, delivery.finished_at = "pending", None
        delivery.tries, delivery.next_try_at = 0, clock()
    return show_delivery(delivery)


def is_leased(delivery: Delivery, now: datetime) -> bool:
    """Whether it is being sent."""
    return delivery.leased_until is not None and delivery.leased_until > now


async def require_webhook(sessions: Sessions, user_id: UUID, webhook_id: UUID | None) -> None:
    """Raises ValidationFailed naming `body.webhook_id` for a webhook that is not the user's."""
    if webhook_id is None:
        return
    async with transaction(sessions, user_id) as session:
        if await webhooks.find_endpoint(session, webhook_id) is not None:
            return
    message = "there is no webhook of yours with that id"
    errors = [{"field": "body.webhook_id", "message": message}]
    raise ValidationFailed(f"body.webhook_id: {message}", errors=errors)


def found(endpoint: Endpoint | None) -> Endpoint:
    """The endpoint. Raises WebhookNotFound, also for other people's."""
    if endpoint is None:
        raise WebhookNotFound()
    return endpoint


def require_enabled(endpoint: Endpoint | None) -> Endpoint:
    """The endpoint. Raises WebhookNotFound, WebhookDisabled."""
    if found(endpoint).disabled_at is not None:
        raise WebhookDisabled("Enable it first", disabled_reason=found(endpoint).disabled_reason)
    return found(endpoint)


def show_webhook(endpoint: Endpoint) -> WebhookAnswer:
    """A webhook as its owner sees it."""
    return WebhookAnswer.model_validate(endpoint)


async def tell(session: AsyncSession, principal: Principal, action: str, endpoint: UUID) -> None:
    """A line of the audit log."""
    await record(
        session,
        actor=f"user:{principal.user_id}",
        action=action,
        subject=f"webhook:{endpoint}",
        user_id=principal.user_id,
    )
