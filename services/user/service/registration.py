"""Open an account."""

from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.passwords import hash_password
from libs.credits.free_grants import open_account_with_a_free_month
from libs.db.transaction import set_tenant
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from services.user.models import User
from services.user.problems import EmailTaken
from services.user.repository import accounts
from services.user.schemas import Registration, RegistrationAnswer, UserAnswer
from services.user.service.logins import open_login_session
from services.user.tokens import TokenIssuer


async def register(
    session: AsyncSession, registration: Registration, *, issuer: TokenIssuer, clock: Clock
) -> RegistrationAnswer:
    """Open an account with the free tier's credits of this month, and log it in.

    Raises EmailTaken (409).
    """
    password_hash = await hash_password(registration.password.get_secret_value())
    user = User(
        id=new_id(),
        email=registration.email,
        display_name=registration.display_name,
        password_hash=password_hash,
        role="user",
        created_at=clock(),
    )
    await set_tenant(session, user.id)
    if not await accounts.add_user(session, user):
        raise EmailTaken()
    await open_account_with_a_free_month(session, user_id=user.id, now=user.created_at)
    tokens = await open_login_session(session, user, issuer=issuer, clock=clock)
    return RegistrationAnswer(user=UserAnswer.model_validate(user), **tokens.model_dump())
