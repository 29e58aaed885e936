"""Login sessions of browsers: the refresh token is a cookie that no script and no other site uses.

A browser's own pages ask for it by the header `X-Easel-Browser: 1`, which no form and no link of
another site can send; `SameSite=Strict`, `Origin` and `Sec-Fetch-Site` are looked at besides
(OWASP, "Cross-Site Request Forgery Prevention"; docs/adr/0019-browser-sessions.md). Everything else
takes bearer tokens alone, which a browser never sends by itself.
"""

from starlette.requests import Request
from starlette.responses import Response

from libs.kernel.problems import Forbidden

HEADER = "X-Easel-Browser"
COOKIE = "__Host-easel_refresh"
MAX_AGE_SECONDS = 30 * 24 * 3600
OWN_SITE = ("same-origin", "none")  # `none`: the person, not a page, started it


class CrossSiteRequest(Forbidden):
    slug, title = "cross-site-request", "This is for pages of this site alone"


def is_browser(request: Request) -> bool:
    """Whether the caller wants its refresh token as a cookie."""
    return request.headers.get(HEADER) == "1"


def require_own_page(request: Request, public_url: str) -> None:
    """Raises CrossSiteRequest (403) unless the page that asks is one of `public_url`."""
    if request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITE:
        raise CrossSiteRequest()
    if request.headers.get("Origin", public_url) != public_url:
        raise CrossSiteRequest()


def refresh_token_of(request: Request, given: str | None, public_url: str) -> str | None:
    """The refresh token: a browser's cookie, anybody else's body. Raises CrossSiteRequest.

    A cookie without the header is not looked at: it may come from another site's form.
    """
    if not is_browser(request):
        return given
    require_own_page(request, public_url)
    return request.cookies.get(COOKIE)


def keep_refresh_token(response: Response, token: str) -> None:
    """Hand the token to the browser, for this host, over TLS, unseen by scripts."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=MAX_AGE_SECONDS,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )


def drop_refresh_token(response: Response) -> None:
    """Take the cookie back."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
