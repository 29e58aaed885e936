"""The running double: books, deliveries, clock and file, behind one door for all pages."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import TypeAdapter

from libs.testkit.lemon_squeezy.announcements import due_at
from libs.testkit.lemon_squeezy.books import Books, Rules, new_books, put_on_agenda, take_events
from libs.testkit.lemon_squeezy.books import sign as sign_body
from libs.testkit.lemon_squeezy.clock import advance
from libs.testkit.lemon_squeezy.deliveries import (
    Attempt,
    Delivery,
    Outbox,
    enqueue,
    next_due,
    settle,
)

T = TypeVar("T")
POLL_SECONDS = 0.25
DELIVERY_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Settings:
    """How the double runs; `state` is the file that keeps everything, None keeps it in memory."""

    port: int
    webhook_url: str = ""
    webhook_secret: str = "local-webhook-secret"
    api_key: str = "local-api-key"
    store_id: int = 1
    state: Path | None = None
    rate_limit: int = 300
    retry_scale: float = 1.0
    frozen: bool = False

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def settings_from_environment() -> Settings:
    """Settings from EASEL_LS_PORT and the like. Raises KeyError without the port."""
    environment = os.environ
    state = environment.get("EASEL_LS_STATE", "memory")
    given = {
        name: environment[variable]
        for name, variable in (
            ("webhook_url", "EASEL_LS_WEBHOOK_URL"),
            ("webhook_secret", "EASEL_LS_WEBHOOK_SECRET"),
            ("api_key", "EASEL_LS_API_KEY"),
        )
        if variable in environment
    }
    return Settings(
        port=int(environment["EASEL_LS_PORT"]),
        store_id=int(environment.get("EASEL_LS_STORE_ID", "1")),
        state=None if state in ("", "memory") else Path(state),
        rate_limit=int(environment.get("EASEL_LS_RATE_LIMIT", "300")),
        retry_scale=float(environment.get("EASEL_LS_RETRY_SCALE", "1")),
        frozen=environment.get("EASEL_LS_FROZEN", "") == "1",
        **given,
    )


@dataclass
class State:
    """What the file keeps. The clock runs `offset` ahead of real time, or stands still."""

    books: Books
    outbox: Outbox = field(default_factory=Outbox)
    offset: timedelta = timedelta(0)
    frozen: bool = False


STATE = TypeAdapter(State)


class Double:
    """The state and everything that acts on it; one event loop owns it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.wake = asyncio.Event()
        self.sending = False
        self.state = self._load() or self._fresh()

    def _fresh(self, rules: Rules | None = None) -> State:
        books = new_books(
            datetime.now(UTC),
            base_url=self.settings.base_url,
            store_id=self.settings.store_id,
            rules=rules,
        )
        outbox = Outbox(retry_scale=self.settings.retry_scale)
        return State(books, outbox, frozen=self.settings.frozen)

    def _load(self) -> State | None:
        file = self.settings.state
        if file is None or not file.is_file():
            return None
        state = STATE.validate_json(file.read_bytes())
        state.books.base_url, state.books.agenda = self.settings.base_url, []
        for sub in state.books.subscriptions.values():
            put_on_agenda(state.books, sub.id, due_at(state.books, sub))
        return state

    def save(self) -> None:
        """Write the file anew, whole or not at all."""
        file = self.settings.state
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_name(f"{file.name}.new")
            draft.write_bytes(STATE.dump_json(self.state))
            draft.replace(file)

    def reset(self, rules: Rules | None = None) -> None:
        """Forget everything."""
        self.state = self._fresh(rules)
        self.save()

    @property
    def books(self) -> Books:
        return self.state.books

    def tick(self) -> None:
        """Bring the books to the present of their clock."""
        if not self.state.frozen:
            now = datetime.now(UTC) + self.state.offset
            advance(self.books, max(now, self.books.now))
        self._collect()

    def act(self, action: Callable[[Books], T]) -> T:
        """Do something to the books now; its events are on their way afterwards."""
        self.tick()
        result = action(self.books)
        self._collect()
        self.save()
        return result

    def set_clock(self, to: datetime) -> None:
        """Move the clock forward. Raises Refused."""
        self.act(lambda books: advance(books, to))
        self.state.offset = to - datetime.now(UTC)
        self.save()

    def _collect(self) -> None:
        events = take_events(self.books)
        if events:
            enqueue(self.state.outbox, events)
            self.save()
            self.wake.set()

    def idle(self) -> bool:
        """Whether nothing is being sent or due to be sent now."""
        if not self.settings.webhook_url:
            return True
        return not self.sending and next_due(self.state.outbox, self.books.now) is None

    async def until_idle(self, seconds: float) -> bool:
        """Wait until everything due was sent; False if it takes longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.idle():
                    self.wake.set()
                    await asyncio.sleep(0.002)
                return True
        return False

    async def deliver_forever(self) -> None:
        """Send what is due, one after the other, as long as the server runs."""
        async with httpx.AsyncClient(timeout=DELIVERY_TIMEOUT_SECONDS, trust_env=False) as http:
            while True:
                self.tick()
                delivery = next_due(self.state.outbox, self.books.now)
                if delivery is not None and self.settings.webhook_url:
                    await self._send(http, delivery)
                    continue
                self.wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), POLL_SECONDS)

    async def _send(self, http: httpx.AsyncClient, delivery: Delivery) -> None:
        outbox, body = self.state.outbox, delivery.body.encode()
        headers = {
            "Content-Type": "application/json",
            "X-Event-Name": delivery.event,
            "X-Signature": sign_body(self.settings.webhook_secret, body),
        }
        self.sending = True
        try:
            url = self.settings.webhook_url
            answer = await http.post(url, content=body, headers=headers)
            attempt = Attempt(self.books.now, answer.status_code, answer.text[:200])
        except httpx.HTTPError as error:
            attempt = Attempt(self.books.now, None, f"{type(error).__name__}: {error}"[:200])
        finally:
            self.sending = False
        settle(outbox, delivery, attempt)
        self.save()
