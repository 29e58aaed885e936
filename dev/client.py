"""A small HTTP client of the platform's own API, for the command line."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dev.parts.program import PartError

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    id: str
    name: str
    data: Any


class ApiError(PartError):
    """The platform refused; `status` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Client:
    """Calls with JSON bodies; `token` is sent once it is set."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self.token = token

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer. Raises ApiError with the problem's sentence."""
        with self._open(method, path, body) as response:
            return json.loads(response.read() or b"null")

    def events(self, path: str, last_id: str = "") -> Iterator[Event]:
        """Server-sent events until the stream ends."""
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        with self._open("GET", path, None, headers) as response:
            fields: dict[str, str] = {}
            for raw in response:
                line = raw.decode().rstrip("\r\n")
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif "data" in fields:
                    event = fields.get("event", "message")
                    yield Event(fields.get("id", ""), event, json.loads(fields["data"]))
                    fields = {}

    def _open(
        self, method: str, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, _sentence(method, path, error)) from None
        except (urllib.error.URLError, OSError) as error:
            raise PartError(f"{self.url} does not answer ({error}): run `./easel up`") from None


def _sentence(method: str, path: str, error: urllib.error.HTTPError) -> str:
    try:
        problem = json.loads(error.read())
        text = problem.get("detail") or problem["title"]
    except (ValueError, KeyError):
        text = error.reason
    return f"{method} {path} was refused with {error.code}: {text}"
