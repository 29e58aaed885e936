"""A service as `libs.web.server` runs it, with routes that tell what reached them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, Field

from libs.web.application import build_application
from libs.web.client_addresses import client_address
from libs.web.server import server_config
from libs.web.settings import WebSettings
from libs.web.text_fields import PlainText

router = APIRouter()


class Note(BaseModel):
    text: PlainText = ""
    number: float = Field(default=1, ge=0, le=1000)
    labels: dict[str, PlainText] = {}


@router.get("/address")
async def address(request: Request) -> str:
    return client_address(request)


@router.post("/notes")
async def note(body: Note) -> Note:
    return body


@router.get("/public")
async def public(response: Response) -> str:
    response.headers["Cache-Control"] = "public, max-age=60"
    return "public"


@router.get("/broken")
async def broken() -> None:
    raise RuntimeError


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def serving(**settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """A service on a port of its own, as `serve` runs it, and a client of it."""
    wanted = WebSettings.model_validate({"port": 0, **settings})
    app = build_application(
        "test",
        description="",
        routers=[router],
        checks={},
        lifespan=lifespan,
        public_url=wanted.public_url,
        cors_origins=wanted.cors_origins,
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(server_config(app, wanted))
        running = asyncio.create_task(server.serve([listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url) as client:
            yield client  # the listener takes connections already
        server.should_exit = True
        await running
