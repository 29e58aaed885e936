"""Registration, login, token rotation, and the keys that verify access tokens."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from libs.auth.access import anyone
from libs.auth.dependencies import OpenSession
from libs.kernel.problems import Problem, RateLimited, ValidationFailed
from libs.web.browser_session import CrossSiteRequest, drop_refresh_token
from libs.web.openapi import problem_answers
from services.user.answers import (
    FromBrowser,
    answer_refusal,
    answer_tokens,
    given_refresh_token,
)
from services.user.desk import CurrentDesk
from services.user.devices import CurrentDevice
from services.user.problems import (
    AccountSuspended,
    EmailTaken,
    InvalidConfirmationToken,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidResetToken,
    WrongPassword,
)
from services.user.schemas import (
    Confirmation,
    Credentials,
    ForgottenPassword,
    JsonWebKeySet,
    PasswordChoice,
    RefreshRequest,
    Registration,
    RegistrationAnswer,
    RegistrationPending,
    ResetPending,
    TokensAnswer,
)
from services.user.service import logins, passwords, registration, sessions
from services.user.throttles import CurrentThrottles

router = APIRouter(prefix="/api/v1/auth", tags=["authentication"])
KEYS_CACHE = "public, max-age=300"
IN_COOKIE = RefreshRequest()


@router.post(
    "/register",
    dependencies=[anyone()],
    status_code=202,
    responses=problem_answers(ValidationFailed, RateLimited),
)
async def register(
    body: Registration, desk: CurrentDesk, throttles: CurrentThrottles
) -> RegistrationPending:
    """Ask for an account. The answer is the same for every address; an e-mail says how to go on."""
    await throttles.count_letter(body.email)
    await registration.register(desk, body)
    return RegistrationPending()


@router.post(
    "/email/verify",
    dependencies=[anyone()],
    status_code=201,
    response_model=RegistrationAnswer,
    responses=problem_answers(
        InvalidConfirmationToken,
        WrongPassword,
        CrossSiteRequest,
        EmailTaken,
        ValidationFailed,
        RateLimited,
    ),
)
async def verify_email(
    body: Confirmation,
    desk: CurrentDesk,
    device: CurrentDevice,
    throttles: CurrentThrottles,
    from_browser: FromBrowser,
) -> JSONResponse:
    """Open the account that was asked for, with its token and password.

    It starts on the free tier, with this month's credits, logged in. Five wrong passwords end the
    token.
    """
    await throttles.count_token()
    opened = await registration.confirm_registration(desk, body, device)
    return answer_tokens(opened, from_browser, status_code=201)


@router.post(
    "/login",
    dependencies=[anyone()],
    response_model=TokensAnswer,
    responses=problem_answers(
        InvalidCredentials, AccountSuspended, CrossSiteRequest, ValidationFailed, RateLimited
    ),
)
async def log_in(
    body: Credentials,
    desk: CurrentDesk,
    device: CurrentDevice,
    throttles: CurrentThrottles,
    from_browser: FromBrowser,
) -> JSONResponse:
    """Log in: an access token for 15 minutes and a refresh token for 30 days."""
    await throttles.count_login(body.email)
    return answer_tokens(await logins.log_in(desk, body, device), from_browser)


@router.post(
    "/refresh",
    dependencies=[anyone()],
    response_model=TokensAnswer,
    responses=problem_answers(InvalidRefreshToken, CrossSiteRequest, ValidationFailed, RateLimited),
)
async def refresh_login(
    session: OpenSession,
    desk: CurrentDesk,
    request: Request,
    throttles: CurrentThrottles,
    from_browser: FromBrowser,
    body: RefreshRequest = IN_COOKIE,
) -> JSONResponse:
    """Exchange a refresh token for new tokens. Each works once; a second use ends the session."""
    await throttles.count_refresh()
    token = given_refresh_token(request, body)
    outcome = await sessions.refresh_login(session, token, issuer=desk.issuer, clock=desk.clock)
    if isinstance(outcome, Problem):
        return answer_refusal(request, outcome, from_browser)
    return answer_tokens(outcome, from_browser)


@router.post(
    "/logout",
    dependencies=[anyone()],
    status_code=204,
    responses=problem_answers(CrossSiteRequest, ValidationFailed),
)
async def log_out(
    session: OpenSession,
    desk: CurrentDesk,
    request: Request,
    response: Response,
    from_browser: FromBrowser,
    body: RefreshRequest = IN_COOKIE,
) -> None:
    """End the session of a refresh token, and its access tokens within two seconds."""
    await sessions.log_out(session, given_refresh_token(request, body), clock=desk.clock)
    if from_browser:
        drop_refresh_token(response)


@router.post(
    "/password/forgot",
    dependencies=[anyone()],
    status_code=202,
    responses=problem_answers(ValidationFailed, RateLimited),
)
async def forget_password(
    body: ForgottenPassword, desk: CurrentDesk, throttles: CurrentThrottles
) -> ResetPending:
    """Ask for a new password. The answer is the same for every address; an e-mail goes on."""
    await throttles.count_letter(body.email)
    await passwords.forget_password(desk, body)
    return ResetPending()


@router.post(
    "/password/reset",
    dependencies=[anyone()],
    status_code=204,
    responses=problem_answers(InvalidResetToken, ValidationFailed, RateLimited),
)
async def choose_password(
    body: PasswordChoice, desk: CurrentDesk, throttles: CurrentThrottles
) -> None:
    """Choose a new password with the token of the e-mail, once. All logins end."""
    await throttles.count_token()
    await passwords.choose_password(desk, body)


@router.get("/.well-known/jwks.json", dependencies=[anyone(is_counted=False)])
async def get_keys(desk: CurrentDesk, response: Response) -> JsonWebKeySet:
    """The public keys that verify access tokens (RFC 7517)."""
    response.headers["Cache-Control"] = KEYS_CACHE
    return JsonWebKeySet(keys=desk.issuer.public_keys(desk.clock()))
