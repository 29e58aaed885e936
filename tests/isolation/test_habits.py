"""Habits of every service that no single route shows."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack.people import bearer, from_somewhere, new_person
from tests.stack.running import Stack
from tests.stack.services import SERVICES

API = sorted(SERVICES.keys() - {"studio"})


def request_schemas(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of a request's body, and what it is made of."""
    schemas = document["components"]["schemas"]
    waiting = [
        content["schema"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]
    seen: set[str] = set()
    while waiting:
        found = json.dumps(waiting.pop())
        for name in schemas.keys() - seen:
            if f'"#/components/schemas/{name}"' in found:
                seen.add(name)
                waiting.append(schemas[name])
                yield name, schemas[name]


@pytest.mark.parametrize("service", API)
def test_request_models_forbid_unknown_members(stack: Stack, service: str) -> None:
    """Nobody sets a role, a plan or an owner by naming it."""
    models = dict(request_schemas(stack.apps[service].openapi()))
    objects = {name: schema for name, schema in models.items() if schema["type"] == "object"}
    loose = {
        name for name, schema in objects.items() if schema.get("additionalProperties") is not False
    }
    assert loose == set()


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT"])
def test_methods_that_nobody_offers(stack: Stack, service: str, method: str) -> None:
    path = "/" if service == "studio" else "/api/v1/users/me"
    answer = stack.call(service, method, path, headers={"X-Mirror": "secret", **from_somewhere()})
    assert answer.status_code in (400, 404, 405)
    assert "secret" not in answer.text


@pytest.mark.parametrize("service", SERVICES)
def test_every_answer_tells_browsers_what_not_to_do(stack: Stack, service: str) -> None:
    for path in ("/", "/healthz", "/api/v1/nothing", "/openapi.json"):
        answer = stack.call(service, "GET", path, headers=from_somewhere())
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["strict-transport-security"].startswith("max-age=63072000")
        assert "server" not in answer.headers


def test_refusals_at_the_door_are_logged_without_what_was_shown(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="libs.auth.access"):
        token = new_person(stack).token
        stack.call("gallery", "GET", "/api/v1/images", headers=bearer(token + "x"))
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "token_refused" in said
    assert token not in said


def test_a_role_that_was_lost_opens_nothing_even_with_its_old_token(stack: Stack) -> None:
    """Staff routes ask the database who is staff: a token of before is not enough."""
    admin, ada = new_person(stack, role="admin"), new_person(stack)
    path = f"/api/v1/admin/users/{ada.id}"
    assert stack.call("user", "GET", path, headers=admin.headers).status_code == 200
    stack.sql("UPDATE identity.users SET role = 'user' WHERE id = :id", id=admin.id)
    assert stack.call("user", "GET", path, headers=admin.headers).status_code == 404
    listed = stack.call("user", "GET", "/api/v1/admin/users", headers=admin.headers).json()
    assert [account["id"] for account in listed["items"]] == [str(admin.id)]
