"""What a test does with a running double: sign in on its page, steer it, look at its calls."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from dev.parts.program import LOOPBACK
from libs.testkit.oauth.grants import Client
from libs.testkit.oauth.people import Person

START_SECONDS = 10.0


class ProviderClient:
    """A person with a browser, and a tester."""

    def __init__(self, base_url: str, client: Client) -> None:
        self.base_url, self.client = base_url, client
        self.http = httpx.AsyncClient(base_url=base_url, timeout=10, trust_env=False)

    async def choose(self, authorize_url: str, person: Person | None) -> str:
        """Open the page, choose an account (None turns back); where the browser is sent."""
        page = await self.http.get(authorize_url)
        assert page.status_code == 200, page.text
        form = {"deny": "1"} if person is None else {"email": person.email, "name": person.name}
        if person is not None and person.verified:
            form["verified"] = "on"
        answer = await self.http.post(authorize_url, data=form)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def steer(self, **controls: Any) -> None:
        """Keywords of `Controls`."""
        (await self.http.put("/_double/controls", json=controls)).raise_for_status()

    async def calls(self, endpoint: str) -> list[dict[str, Any]]:
        """Requests to `authorize` or `token` so far."""
        everything = (await self.http.get("/_double/calls")).json()
        return [call for call in everything if call["endpoint"] == endpoint]


@contextmanager
def serving(app: FastAPI, port: int) -> Iterator[None]:
    """The server runs inside the block, on a thread and an event loop of its own."""
    config = uvicorn.Config(
        app,
        host=LOOPBACK,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name=app.title, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError(f"{app.title} does not start")
        time.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
