"""Composition root of the web pages: `python -m services.studio.app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from libs.kernel.settings import load
from libs.telemetry.logs import configure_logs
from libs.web.application import build_application
from libs.web.server import serve
from services.studio.pages import missing_routes, site_routes
from services.studio.settings import StudioSettings
from services.studio.site_files import read_site


@asynccontextmanager
async def nothing_to_close(_app: FastAPI) -> AsyncIterator[None]:
    yield


def build_app(settings: StudioSettings) -> FastAPI:
    """The site, with health and metrics like every service."""
    configure_logs("studio", settings.log_level)
    site = read_site()
    app = build_application(
        "studio",
        description="The web pages.",
        routers=[site_routes(site)],
        checks={},
        lifespan=nothing_to_close,
        public_url=settings.public_url,
    )
    app.include_router(missing_routes(site))
    return app


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(StudioSettings)
    serve(build_app(settings), settings)


if __name__ == "__main__":
    main()
