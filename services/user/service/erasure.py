"""Deleting one's account: at once nobody can log in; the account worker erases the rest."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.api_keys import end_keys_of
from libs.auth.principals import Principal
from libs.auth.recent_login import require_recent_login
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.kernel.problems import ValidationFailed
from services.user.erasure_schemas import ErasureAnswer, ErasureRequest
from services.user.letters import send_letter
from services.user.parting import goodbye
from services.user.problems import LastAdministrator
from services.user.repository import erasures, requests
from services.user.service.profile import require_user
from services.user.service.sessions import end_sessions, require_live_login
from services.user.trail import note

# Until then every service has heard that the logins and keys have ended, and has answered what it
# had begun: nothing new comes while the rest is erased.
BEGINS_AFTER = timedelta(seconds=5)


async def request_erasure(
    session: AsyncSession, principal: Principal, request: ErasureRequest, *, clock: Clock
) -> ErasureAnswer:
    """Delete the caller's account, and ask for the erasure of all that it left elsewhere.

    In this transaction: logins, API keys, profile, linked accounts, and what was written to the
    person. One letter is queued, which tells what happens; its address goes with it. Raises
    RecentLoginRequired (403), LastAdministrator (409), ValidationFailed for another address, and
    Unauthorized (401) for a login or an account that has ended.
    """
    now = clock()
    require_recent_login(principal, now)
    # locked: a login that is under way comes before, and ends, or after, and finds nobody
    user = await require_user(session, principal.user_id, lock=True)
    await require_live_login(session, principal)
    if request.confirm != user.email:
        message = "is not the address of this account"
        errors = [{"field": "body.confirm", "message": message}]
        raise ValidationFailed(f"body.confirm: {message}", errors=errors)
    if user.role == "admin" and not await erasures.has_another_admin(session, user.id):
        raise LastAdministrator()
    answer = ErasureAnswer(id=new_id(), requested_at=now)
    await end_sessions(session, user.id, now)
    await end_keys_of(session, user.id, now=now)
    await requests.drop_reset(session, user.id)
    await note(session, "account.erasure_requested", user.id, now=now, erasure=str(answer.id))
    await erasures.add_erasure(session, answer.id, user.id, now, now + BEGINS_AFTER)
    address = user.email
    session.expunge(user)
    await erasures.forget_person(session, principal.user_id)
    await send_letter(session, principal.user_id, address, goodbye(answer.id), now)
    return answer
