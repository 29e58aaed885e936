"""`/docs`: the interactive documentation of a service, without any outside host.

The assets are those of Swagger UI (Apache License 2.0) that the package fastapi-offline carries.
The page runs no inline script, so its Content-Security-Policy is strict.
"""

from functools import cache
from html import escape
from importlib.resources import files

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from libs.kernel.problems import NotFound

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
START = """
const root = document.getElementById("swagger-ui");
const url = root.dataset.document;
SwaggerUIBundle({ url, domNode: root, deepLinking: true, layout: "BaseLayout" });
"""
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="/docs/assets/favicon.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<div id="swagger-ui" data-document="{document}"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js"></script>
</html>
"""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
KEPT = {"Cache-Control": "public, max-age=86400"}


@cache
def read_asset(name: str) -> bytes:
    """A file of Swagger UI. Raises NotFound for any other name."""
    if name == "start.js":
        return START.encode()
    if name not in ASSETS:
        raise NotFound()
    import fastapi_offline

    return files(fastapi_offline).joinpath("static", name).read_bytes()


def documentation_routes(title: str, document_url: str) -> APIRouter:
    """The page and its assets, out of the OpenAPI document."""
    router = APIRouter(prefix="/docs", include_in_schema=False)
    page = PAGE.format(title=escape(title), document=escape(document_url))

    @router.get("")
    async def documentation() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    @router.get("/assets/{name}")
    async def asset(name: str) -> Response:
        content = read_asset(name)
        return Response(content, headers=KEPT, media_type=ASSETS.get(name, "text/javascript"))

    return router
