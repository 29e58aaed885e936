"""The caller's webhooks: where to tell what, and what was told."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.clock import utc_now
from libs.kernel.problems import ValidationFailed
from libs.web.openapi import problem_answers
from libs.web.outgoing import UrlNotAllowed
from libs.web.pagination import Page, PageQuery
from libs.webhooks.addresses import require_webhook_url
from services.generation.service import webhooks
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

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])
ONE = "/{endpoint_id}"
NO_STORE = "no-store"


async def checked_request(body: WebhookRequest, request: Request) -> WebhookRequest:
    """The body, its URL judged before a transaction is open. Raises UrlNotAllowed."""
    await require_webhook_url(body.url, request.app.state.webhook_policy)
    return body


async def checked_change(body: WebhookChange, request: Request) -> WebhookChange:
    """The body, a new URL judged before a transaction is open. Raises UrlNotAllowed."""
    if body.url is not None:
        await require_webhook_url(body.url, request.app.state.webhook_policy)
    return body


@router.post(
    "",
    dependencies=[users("generations:write")],
    status_code=201,
    responses=problem_answers(UrlNotAllowed, TooManyWebhooks, ValidationFailed),
)
async def create_webhook(
    body: Annotated[WebhookRequest, Depends(checked_request)],
    session: TenantSession,
    principal: CurrentPrincipal,
    response: Response,
) -> NewWebhookAnswer:
    """Have a URL told of jobs and images. The secret that signs is shown in this answer alone.

    There is no Idempotency-Key here, since a stored answer would keep the secret in clear: delete
    what a repeated request made too many.
    """
    response.headers["Cache-Control"] = NO_STORE
    return await webhooks.make_webhook(session, principal, body, clock=utc_now)


@router.get(
    "", dependencies=[users("generations:read")], responses=problem_answers(ValidationFailed)
)
async def list_webhooks(session: TenantSession, page: PageQuery) -> Page[WebhookAnswer]:
    """The caller's webhooks, newest first."""
    return await webhooks.list_webhooks(session, page)


@router.get(
    ONE, dependencies=[users("generations:read")], responses=problem_answers(WebhookNotFound)
)
async def get_webhook(endpoint_id: UUID, session: TenantSession) -> WebhookAnswer:
    """One webhook of the caller."""
    return await webhooks.get_webhook(session, endpoint_id)


@router.patch(
    ONE,
    dependencies=[users("generations:write")],
    responses=problem_answers(WebhookNotFound, UrlNotAllowed, ValidationFailed),
)
async def change_webhook(
    endpoint_id: UUID,
    body: Annotated[WebhookChange, Depends(checked_change)],
    session: TenantSession,
) -> WebhookAnswer:
    """Change what is named. Switched off, what waits is given up; it can be redelivered later."""
    return await webhooks.change_webhook(session, endpoint_id, body, clock=utc_now)


@router.delete(
    ONE,
    dependencies=[users("generations:write")],
    status_code=204,
    responses=problem_answers(WebhookNotFound),
)
async def delete_webhook(
    endpoint_id: UUID, session: TenantSession, principal: CurrentPrincipal
) -> None:
    """Delete a webhook with its deliveries: nothing more is sent to it."""
    await webhooks.delete_webhook(session, principal, endpoint_id)


@router.post(
    ONE + "/rotate-secret",
    dependencies=[users("generations:write")],
    responses=problem_answers(WebhookNotFound),
)
async def rotate_webhook_secret(
    endpoint_id: UUID, session: TenantSession, principal: CurrentPrincipal, response: Response
) -> SecretAnswer:
    """A new secret, shown in this answer alone. For a day both sign: two signatures are sent."""
    response.headers["Cache-Control"] = NO_STORE
    return await webhooks.rotate_secret(session, principal, endpoint_id, clock=utc_now)


@router.post(
    ONE + "/test",
    dependencies=[users("generations:write")],
    status_code=202,
    responses=problem_answers(WebhookNotFound, WebhookDisabled),
)
async def test_webhook(endpoint_id: UUID, session: TenantSession) -> DeliveryAnswer:
    """Send a message of the type `webhook.test`; its delivery is in the log as every other."""
    return await webhooks.send_test(session, endpoint_id, clock=utc_now)


@router.get(
    ONE + "/deliveries",
    dependencies=[users("generations:read")],
    responses=problem_answers(WebhookNotFound, ValidationFailed),
)
async def list_webhook_deliveries(
    endpoint_id: UUID, session: TenantSession, page: PageQuery
) -> Page[DeliveryAnswer]:
    """What was sent to a webhook, newest first, with its tries; kept for 30 days."""
    return await webhooks.list_deliveries(session, endpoint_id, page)


@router.post(
    ONE + "/deliveries/{delivery_id}/redeliver",
    dependencies=[users("generations:write")],
    status_code=202,
    responses=problem_answers(WebhookNotFound, DeliveryNotFound, WebhookDisabled),
)
async def redeliver_webhook(
    endpoint_id: UUID, delivery_id: UUID, session: TenantSession
) -> DeliveryAnswer:
    """Send a message again, at once and with all its tries, under the same `webhook-id`."""
    return await webhooks.redeliver(session, endpoint_id, delivery_id, clock=utc_now)
