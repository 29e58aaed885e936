"""The routes of the site: its files, and a page for what is not there."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.responses import Response

from libs.kernel.problems import NotFound
from services.studio.site_files import NOT_FOUND, SiteFile

# Everything comes from this origin; no script or style stands in a page; no text becomes markup.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
# Kept, but asked about each time: a page and its modules never come from two releases.
CACHE = "no-cache"


READ = ["GET", "HEAD"]


def site_routes(site: Mapping[str, SiteFile]) -> APIRouter:
    """Every file of the site at its address."""
    router = APIRouter(include_in_schema=False)

    async def get_file(request: Request) -> Response:
        return answer_file(request, site[request.url.path])

    for address in site:
        if address != NOT_FOUND:
            router.add_api_route(address, get_file, methods=READ)
    return router


def missing_routes(site: Mapping[str, SiteFile]) -> APIRouter:
    """Every other address: to be included last."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/{address:path}", methods=READ)
    async def get_nothing(request: Request) -> Response:
        return answer_missing(request, site[NOT_FOUND])

    return router


def answer_missing(request: Request, page: SiteFile) -> Response:
    """A page for browsers. Raises NotFound for everybody else."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise NotFound("No page has this address")
    return answer(page, status=404)


def answer_file(request: Request, found: SiteFile) -> Response:
    """The file, or 304 if the browser has this version (RFC 9110, 13.1.2)."""
    known = {
        tag.strip().removeprefix("W/")
        for tag in request.headers.get("If-None-Match", "").split(",")
    }
    if found.etag in known:
        return Response(status_code=304, headers=headers_of(found))
    return answer(found)


def answer(found: SiteFile, status: int = 200) -> Response:
    return Response(found.body, status, headers_of(found), found.media_type)


def headers_of(found: SiteFile) -> dict[str, str]:
    headers = {"ETag": found.etag, "Cache-Control": CACHE}
    if found.is_page:
        headers |= {"Content-Security-Policy": POLICY, "Permissions-Policy": PERMISSIONS}
    return headers
