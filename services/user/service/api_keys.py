"""Make, list and end API keys."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.audit.log import record
from libs.auth.api_keys import SHOWN_LENGTH, hash_api_key, make_api_key
from libs.auth.principals import Principal
from libs.credits.caps import list_caps, set_cap
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.kernel.problems import ValidationFailed
from libs.tiers.entitlements import tier_of
from libs.tiers.gates import require_api_keys
from libs.web.pagination import Page, PageRequest, make_page
from services.user.key_schemas import ApiKeyAnswer, ApiKeyRequest, KeySpendCap, NewApiKeyAnswer
from services.user.problems import ApiKeyNotFound, TooManyApiKeys
from services.user.repository import api_keys
from services.user.repository.api_keys import ApiKey
from services.user.service.sessions import require_live_login

MAX_LIVE_KEYS = 50


async def make_key(
    session: AsyncSession, principal: Principal, request: ApiKeyRequest, *, clock: Clock
) -> NewApiKeyAnswer:
    """A new key, with its cap. Raises TierRequired (403), TooManyApiKeys (409), Unauthorized (401)
    for a login that has ended, and ValidationFailed (422) for an expiry that has passed.
    """
    now, user_id = clock(), principal.user_id
    await require_live_login(session, principal)  # or a key would survive the ending of all keys
    require_api_keys(await tier_of(session, user_id))
    if request.expires_at is not None and request.expires_at <= now:
        error = {"field": "body.expires_at", "message": "must be in the future"}
        raise ValidationFailed("body.expires_at: must be in the future", errors=[error])
    if await api_keys.count_live_keys(session, user_id, now) >= MAX_LIVE_KEYS:
        raise TooManyApiKeys(f"At most {MAX_LIVE_KEYS} keys may be in use", limit=MAX_LIVE_KEYS)
    key = make_api_key()
    row = ApiKey(
        id=new_id(),
        user_id=user_id,
        name=request.name,
        prefix=key[:SHOWN_LENGTH],
        key_hash=hash_api_key(key),
        scopes=request.scopes,
        created_at=now,
        expires_at=request.expires_at,
    )
    session.add(row)
    if cap := request.spend_cap:
        await set_cap(
            session,
            user_id=user_id,
            key_id=row.id,
            period=cap.period,
            millicredits=cap.millicredits,
        )
    await tell(session, principal, "api_key.created", row.id)
    shown = show_key(row, [cap] if cap else [])
    return NewApiKeyAnswer(key=key, **shown.model_dump())


async def list_keys(
    session: AsyncSession, principal: Principal, page: PageRequest
) -> Page[ApiKeyAnswer]:
    """The caller's keys with their caps, newest first."""
    rows = await api_keys.list_keys(session, limit=page.limit, before=page.before)
    caps = await list_caps(session, principal.user_id)

    def show(row: ApiKey) -> ApiKeyAnswer:
        own = [cap for cap in caps if cap.key_id == row.id]
        return show_key(
            row, [KeySpendCap(period=cap.period, millicredits=cap.millicredits) for cap in own]
        )

    return make_page(rows, page.limit, show, lambda row: row.id)


async def end_key(
    session: AsyncSession, principal: Principal, key_id: UUID, *, clock: Clock
) -> None:
    """No service takes the key two seconds from now. Raises ApiKeyNotFound (404)."""
    if not await api_keys.end_key(session, key_id, clock()):
        raise ApiKeyNotFound("You have no such key in use")
    await tell(session, principal, "api_key.ended", key_id)


async def tell(session: AsyncSession, principal: Principal, action: str, key_id: UUID) -> None:
    """A line of the audit log."""
    await record(
        session,
        actor=f"user:{principal.user_id}",
        action=action,
        subject=f"api_key:{key_id}",
        user_id=principal.user_id,
    )


def show_key(row: ApiKey, caps: list[KeySpendCap]) -> ApiKeyAnswer:
    """A key as its owner sees it."""
    answer = ApiKeyAnswer.model_validate(row)
    return answer.model_copy(update={"spend_caps": caps})
