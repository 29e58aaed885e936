"""The caller's API keys. A key cannot make, see or end keys: these routes are for logins."""

from uuid import UUID

from fastapi import APIRouter, Response

from libs.auth.access import users
from libs.auth.dependencies import CurrentPrincipal, TenantSession
from libs.kernel.clock import utc_now
from libs.kernel.problems import ValidationFailed
from libs.tiers.gates import TierRequired
from libs.web.openapi import problem_answers
from libs.web.pagination import Page, PageQuery
from services.user.answers import NO_STORE
from services.user.key_schemas import ApiKeyAnswer, ApiKeyRequest, NewApiKeyAnswer
from services.user.problems import ApiKeyNotFound, TooManyApiKeys
from services.user.service import api_keys

router = APIRouter(prefix="/api/v1/api-keys", tags=["API keys"])


@router.post(
    "",
    dependencies=[users()],
    status_code=201,
    responses=problem_answers(TierRequired, TooManyApiKeys, ValidationFailed),
)
async def make_api_key(
    body: ApiKeyRequest, session: TenantSession, principal: CurrentPrincipal, response: Response
) -> NewApiKeyAnswer:
    """Make a key. It is shown in this answer alone; the platform keeps only its hash.

    There is no Idempotency-Key here, since a stored answer would keep the key in clear: end what
    a repeated request made too many.
    """
    response.headers["Cache-Control"] = NO_STORE
    return await api_keys.make_key(session, principal, body, clock=utc_now)


@router.get("", dependencies=[users()], responses=problem_answers(ValidationFailed))
async def list_api_keys(
    session: TenantSession, principal: CurrentPrincipal, page: PageQuery
) -> Page[ApiKeyAnswer]:
    """Keys in use and ended ones, newest first."""
    return await api_keys.list_keys(session, principal, page)


@router.delete(
    "/{key_id}", dependencies=[users()], status_code=204, responses=problem_answers(ApiKeyNotFound)
)
async def end_api_key(key_id: UUID, session: TenantSession, principal: CurrentPrincipal) -> None:
    """End a key: within two seconds nobody takes it any more."""
    await api_keys.end_key(session, principal, key_id, clock=utc_now)
