"""Sign in with a provider: two addresses that a browser visits, and the list of providers."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from libs.auth.access import anyone
from libs.kernel.problems import Problem, RateLimited, ValidationFailed
from libs.web.browser_session import keep_refresh_token
from libs.web.openapi import problem_answers
from services.user.answers import NO_STORE
from services.user.desk import CurrentDesk
from services.user.devices import CurrentDevice
from services.user.identity_schemas import OfferedProvider, OfferedProviders, ReturnTo
from services.user.problems import AccountSuspended
from services.user.providers.offered import Provider, ProviderName, Providers
from services.user.providers.problems import (
    ProviderEmailUnverified,
    ProviderNotOffered,
    ProviderUnavailable,
    SignInCancelled,
    SignInExpired,
    SignInRefused,
)
from services.user.service import oauth
from services.user.throttles import CurrentThrottles

router = APIRouter(prefix="/api/v1/auth/oauth", tags=["authentication"])
COOKIE = "__Host-easel_oauth"
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
Given = Annotated[str | None, Query(max_length=2000)]
REDIRECT: dict[int | str, dict[str, Any]] = {
    302: {"description": "To the provider's page; a cookie binds the sign-in"}
}
BACK: dict[int | str, dict[str, Any]] = {
    303: {"description": "To `return_to`, logged in; or to `/log-in?error=<slug>`"}
}


def offered(request: Request, name: str) -> tuple[ProviderName, Provider]:
    """The provider of that name. Raises ProviderNotOffered (404)."""
    providers: Providers = request.app.state.providers
    for known, provider in providers.items():
        if known == name:
            return known, provider
    raise ProviderNotOffered()


def refuse(request: Request, problem: Problem) -> RedirectResponse:
    """A page that says what went wrong, for browsers. Raises the problem for everybody else."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise problem
    return RedirectResponse(f"/log-in?error={problem.slug}", 303, {"Cache-Control": NO_STORE})


@router.get("", dependencies=[anyone()])
async def list_providers(request: Request) -> OfferedProviders:
    """The providers that one can sign in with here."""
    providers: Providers = request.app.state.providers
    items = [
        OfferedProvider(provider=name, label=provider.credentials.label)
        for name, provider in providers.items()
    ]
    return OfferedProviders(items=items)


@router.get(
    "/{provider}/start",
    dependencies=[anyone()],
    status_code=302,
    response_class=RedirectResponse,
    responses={
        **REDIRECT,
        **problem_answers(ProviderNotOffered, ProviderUnavailable, ValidationFailed, RateLimited),
    },
)
async def start_sign_in(
    provider: str,
    request: Request,
    desk: CurrentDesk,
    throttles: CurrentThrottles,
    return_to: ReturnTo = "/account",
) -> Response:
    """Leave for a provider. `return_to` is a path of this site to come back to."""
    given = request.cookies.get(COOKIE, "")
    # another tab may be under way with the same secret: both can finish
    secret = given if SECRET.fullmatch(given) else oauth.make_browser_secret()
    try:
        await throttles.count_token()
        name, chosen = offered(request, provider)
        url = await oauth.begin_sign_in(desk, name, chosen, return_to, secret)
    except Problem as problem:
        return refuse(request, problem)
    response = RedirectResponse(url, 302, {"Cache-Control": NO_STORE})
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(oauth.ATTEMPT_LIFETIME.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",  # the provider's redirect brings it back; a form of another site does not
    )
    return response


@router.get(
    "/{provider}/callback",
    dependencies=[anyone()],
    status_code=303,
    response_class=RedirectResponse,
    responses={
        **BACK,
        **problem_answers(
            SignInExpired,
            SignInCancelled,
            SignInRefused,
            ProviderEmailUnverified,
            AccountSuspended,
            ProviderNotOffered,
            ProviderUnavailable,
            ValidationFailed,
            RateLimited,
        ),
    },
)
async def finish_sign_in(
    provider: str,
    request: Request,
    desk: CurrentDesk,
    device: CurrentDevice,
    throttles: CurrentThrottles,
    code: Given = None,
    state: Given = None,
    error: Given = None,
) -> Response:
    """Come back from a provider, in the browser that left for it, once.

    Opens a login session: its refresh token becomes a cookie. Browsers are redirected with an
    error's slug where others are answered a problem.
    """
    try:
        await throttles.count_token()
        name, chosen = offered(request, provider)
        secret = request.cookies.get(COOKIE, "")
        return_to = await oauth.take_attempt(desk, name, state or "", secret)
        if error is not None or code is None:
            raise SignInCancelled() if error == "access_denied" else SignInRefused()
        account = await chosen.identify(code, oauth.secrets_of(state or "", secret))
        tokens = await oauth.sign_in(desk, name, account, device)
    except Problem as problem:
        return refuse(request, problem)
    response = RedirectResponse(return_to, 303, {"Cache-Control": NO_STORE})
    keep_refresh_token(response, str(tokens.refresh_token))
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response
