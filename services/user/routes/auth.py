"""Registration, login, token rotation, and the keys that verify access tokens."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from libs.auth.access import anyone
from libs.auth.dependencies import OpenSession
from libs.kernel.clock import utc_now
from libs.kernel.problems import Problem, ValidationFailed
from libs.web.openapi import problem_answers
from libs.web.problem_answers import answer_problem
from services.user.answers import answer_tokens
from services.user.problems import EmailTaken, InvalidCredentials, InvalidRefreshToken
from services.user.schemas import (
    Credentials,
    JsonWebKeySet,
    RefreshRequest,
    Registration,
    RegistrationAnswer,
    TokensAnswer,
)
from services.user.service import logins, registration, sessions
from services.user.tokens import TokenIssuer

router = APIRouter(prefix="/api/v1/auth", tags=["authentication"])
KEYS_CACHE = "public, max-age=300"


def token_issuer(request: Request) -> TokenIssuer:
    """The issuer that the composition root made."""
    issuer: TokenIssuer = request.app.state.token_issuer
    return issuer


Issuer = Annotated[TokenIssuer, Depends(token_issuer)]


@router.post(
    "/register",
    dependencies=[anyone()],
    status_code=201,
    response_model=RegistrationAnswer,
    responses=problem_answers(EmailTaken, ValidationFailed),
)
async def register(body: Registration, session: OpenSession, issuer: Issuer) -> JSONResponse:
    """Open an account. It starts on the free tier, with this month's credits, logged in."""
    registered = await registration.register(session, body, issuer=issuer, clock=utc_now)
    return answer_tokens(registered, status_code=201)


@router.post(
    "/login",
    dependencies=[anyone()],
    response_model=TokensAnswer,
    responses=problem_answers(InvalidCredentials, ValidationFailed),
)
async def log_in(body: Credentials, session: OpenSession, issuer: Issuer) -> JSONResponse:
    """Log in: an access token for 15 minutes and a refresh token for 30 days."""
    return answer_tokens(await logins.log_in(session, body, issuer=issuer, clock=utc_now))


@router.post(
    "/refresh",
    dependencies=[anyone()],
    response_model=TokensAnswer,
    responses=problem_answers(InvalidRefreshToken, ValidationFailed),
)
async def refresh_login(
    body: RefreshRequest, session: OpenSession, issuer: Issuer, request: Request
) -> JSONResponse:
    """Exchange a refresh token for new tokens. Each works once; a second use ends the session."""
    token = body.refresh_token
    outcome = await sessions.refresh_login(session, token, issuer=issuer, clock=utc_now)
    if isinstance(outcome, Problem):
        return answer_problem(request, outcome)
    return answer_tokens(outcome)


@router.post(
    "/logout", dependencies=[anyone()], status_code=204, responses=problem_answers(ValidationFailed)
)
async def log_out(body: RefreshRequest, session: OpenSession) -> None:
    """End the session of a refresh token. Access tokens that are out live up to 15 minutes on."""
    await sessions.log_out(session, body.refresh_token, clock=utc_now)


@router.get("/.well-known/jwks.json", dependencies=[anyone()])
async def get_keys(issuer: Issuer, response: Response) -> JsonWebKeySet:
    """The public keys that verify access tokens (RFC 7517)."""
    response.headers["Cache-Control"] = KEYS_CACHE
    return JsonWebKeySet(keys=issuer.public_keys(utc_now()))
