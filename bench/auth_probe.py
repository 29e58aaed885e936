"""A service with the routes that are compared: `python -m bench.auth_probe`, and a bare FastAPI.

`/open` and `/verified` do the same; who asks for the second is verified. EASEL_PROBE=hello serves a
FastAPI hello without anything of ours.
"""

import os

import uvicorn
from fastapi import APIRouter, FastAPI

from libs.auth.access import anyone, users
from libs.auth.tenant_application import TenantServiceSettings, build_tenant_application
from libs.kernel.settings import load
from libs.web.server import serve

router = APIRouter()


@router.get("/open", dependencies=[anyone()])
async def say_hello() -> dict[str, str]:
    """For anyone."""
    return {"hello": "world"}


@router.get("/verified", dependencies=[users("account:read")])
async def say_hello_to_somebody() -> dict[str, str]:
    """For users."""
    return {"hello": "world"}


def hello() -> FastAPI:
    """What FastAPI's first page shows."""
    app = FastAPI()

    @app.get("/")
    async def read_root() -> dict[str, str]:
        return {"hello": "world"}

    return app


def main() -> None:
    """Serve until SIGTERM."""
    if os.environ.get("EASEL_PROBE") == "hello":
        port = int(os.environ["EASEL_PORT"])
        uvicorn.run(hello(), host="127.0.0.1", port=port, log_level="warning", access_log=False)
        return
    settings = load(TenantServiceSettings)
    app = build_tenant_application("user", settings, description="Compared.", routers=[router])
    serve(app, settings)


if __name__ == "__main__":
    main()
