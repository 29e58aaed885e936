"""What both doubles share as servers: state, the token endpoint, the controls of tests."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict

from libs.testkit.oauth.chooser import read_form
from libs.testkit.oauth.grants import BadRequest, Client, Grant, Grants, Refused, check_client

Handler = Callable[[Request], Awaitable[Response]]
UNAVAILABLE = "unavailable"
OPEN = ("/_double/", "/health")
router = APIRouter()


@dataclass
class Double:
    """A running double. `fault` is what it does wrong until it is told otherwise; "" is nothing."""

    grants: Grants
    faults: Collection[str]
    fault: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


class Controls(BaseModel):
    """What a test steers; what is not named stays."""

    model_config = ConfigDict(extra="forbid")

    fault: str | None = None
    code_seconds: float | None = None


def double_of(request: Request) -> Double:
    double: Double = request.app.state.double
    return double


@router.put("/_double/controls", response_model=None)
async def steer(controls: Controls, request: Request) -> Response:
    """Set the fault, or how long codes live."""
    double = double_of(request)
    if controls.fault is not None:
        if controls.fault not in ("", UNAVAILABLE, *double.faults):
            known = ["", UNAVAILABLE, *double.faults]
            return JSONResponse({"error": "unknown fault", "known": known}, 422)
        double.fault = controls.fault
    if controls.code_seconds is not None:
        double.grants.code_seconds = controls.code_seconds
    return Response(status_code=204)


@router.get("/_double/calls")
async def list_calls(request: Request) -> list[dict[str, Any]]:
    """The requests to the authorization and the token endpoint, oldest first, without secrets."""
    return double_of(request).grants.calls


@router.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


async def redeem(request: Request) -> Grant | JSONResponse:
    """The grant that a token request asks for, or the refusal (RFC 6749, 5.2)."""
    grants = double_of(request).grants
    kind = request.headers.get("Content-Type", "").partition(";")[0]
    try:
        if kind != "application/x-www-form-urlencoded":
            raise Refused("invalid_request", "The body must be a form")
        form = await read_form(request)
        method = check_client(grants.client, request.headers.get("Authorization", ""), form)
        said = {k: v for k, v in form.items() if k not in ("client_secret", "code_verifier")}
        has_verifier = bool(form.get("code_verifier"))
        grants.calls.append(
            {"endpoint": "token", "client_auth": method, "has_verifier": has_verifier, **said}
        )
        return grants.redeem(form)
    except Refused as error:
        body = {"error": error.error, "error_description": error.description}
        return JSONResponse(body, error.status, headers={"Cache-Control": "no-store"})
    except BadRequest as error:
        body = {"error": "invalid_request", "error_description": str(error)}
        return JSONResponse(body, 400)


async def guard(request: Request, call_next: Handler) -> Response:
    """Nothing but the controls answers while the double plays dead."""
    if double_of(request).fault == UNAVAILABLE and not request.url.path.startswith(OPEN):
        return Response("Service Unavailable", 503, media_type="text/plain")
    return await call_next(request)


def build_double(title: str, client: Client, faults: Collection[str], *more: APIRouter) -> FastAPI:
    """A double's application, for the loopback names alone."""
    app = FastAPI(title=title, openapi_url=None)
    app.state.double = Double(Grants(client), faults)
    app.middleware("http")(guard)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    for part in (router, *more):
        app.include_router(part)
    return app


def serve(app: FastAPI, port: int) -> None:
    """Serve on 127.0.0.1 until SIGTERM."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
    )
