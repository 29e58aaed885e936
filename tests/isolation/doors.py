"""Doors of running services, and what they say to credentials."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from tests.stack.people import bearer
from tests.stack.running import Stack

# A route of the issuer, and one of a service that knows its keys by their publication alone.
DOORS = (("user", "/api/v1/users/me"), ("gallery", "/api/v1/images"))


def show(stack: Stack, credentials: str) -> list[int]:
    """What each door answers to credentials."""
    headers = bearer(credentials)
    return [stack.call(name, "GET", path, headers=headers).status_code for name, path in DOORS]


def refused(stack: Stack, credentials: str) -> bool:
    """Whether no door opens, and the answer says nothing of why."""
    for name, path in DOORS:
        answer = stack.call(name, "GET", path, headers=bearer(credentials))
        assert answer.status_code == 401, answer.text
        assert answer.json()["type"] == "/problems/unauthorized"
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    return True


def encode(part: Mapping[str, Any] | bytes) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
