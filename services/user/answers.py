"""How tokens are answered and asked for: the one place where they leave and enter the service."""

from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse

from libs.kernel.problems import Problem
from libs.web.browser_session import (
    drop_refresh_token,
    is_browser,
    keep_refresh_token,
    refresh_token_of,
    require_own_page,
)
from libs.web.problem_answers import answer_problem
from services.user.schemas import RefreshRequest, TokensAnswer

NO_STORE = "no-store"  # RFC 6749, 5.1: tokens are kept by nobody on the way
BrowserHeader = Annotated[
    str | None,
    Header(
        alias="X-Easel-Browser",
        description="`1`, from this site's own pages alone: the refresh token is a cookie",
        examples=["1"],
    ),
]


def browser_asks(request: Request, header: BrowserHeader = None) -> bool:
    """Whether a page of ours asks, whose refresh token is a cookie. Raises CrossSiteRequest."""
    if not is_browser(request):
        return False
    require_own_page(request, request.app.state.settings.public_url)
    return True


FromBrowser = Annotated[bool, Depends(browser_asks)]


def given_refresh_token(request: Request, body: RefreshRequest) -> str:
    """A browser's cookie, anybody else's body; "" without one. Raises CrossSiteRequest."""
    public_url: str = request.app.state.settings.public_url
    return refresh_token_of(request, body.refresh_token, public_url) or ""


def answer_tokens(
    tokens: TokensAnswer, from_browser: bool, *, status_code: int = 200
) -> JSONResponse:
    """The tokens of a login, alone or with an account, for the caller alone."""
    body = tokens.model_dump(mode="json")
    response = JSONResponse(
        {**body, "refresh_token": None} if from_browser else body,
        status_code=status_code,
        headers={"Cache-Control": NO_STORE},
    )
    if from_browser:
        keep_refresh_token(response, str(tokens.refresh_token))
    return response


def answer_refusal(request: Request, problem: Problem, from_browser: bool) -> JSONResponse:
    """A refresh token that opens nothing: a browser need not keep it."""
    response = answer_problem(request, problem)
    if from_browser:
        drop_refresh_token(response)
    return response
