"""Run the double: `python -m libs.testkit.lemon_squeezy.server` (see docs/lemon-squeezy.md)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from fastapi.middleware.trustedhost import TrustedHostMiddleware

from libs.testkit.lemon_squeezy import (
    api_writes,
    checkout_pages,
    control,
    dashboard,
    portal_pages,
)
from libs.testkit.lemon_squeezy.api import add_api
from libs.testkit.lemon_squeezy.rate_limit import Fault, Window
from libs.testkit.lemon_squeezy.runtime import Double, Settings, settings_from_environment


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    double: Double = app.state.double
    courier = asyncio.create_task(double.deliver_forever())
    yield
    courier.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await courier
    double.save()


def create_app(settings: Settings) -> FastAPI:
    """The API, the pages and the control API over one double."""
    app = FastAPI(title="Lemon Squeezy double", lifespan=_lifespan, openapi_url=None)
    app.state.double = Double(settings)
    app.state.window, app.state.fault = Window(settings.rate_limit), Fault()
    add_api(app, api_writes.router)
    for pages in (control, checkout_pages, dashboard, portal_pages):
        app.include_router(pages.router)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def main() -> None:
    """Serve on 127.0.0.1 until SIGTERM."""
    settings = settings_from_environment()
    uvicorn.run(
        create_app(settings),
        host="127.0.0.1",
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
