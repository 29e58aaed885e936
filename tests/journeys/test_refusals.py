"""What the platform refuses, and how it says so."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.running_platform import REQUEST, Platform, User, wait_until


def refused(answer: httpx.Response, status: int, slug: str) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["type"] == f"/problems/{slug}"
    return problem


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 60),
        ("width", 65),
        ("height", 4096),
        ("steps", 0),
        ("steps", 151),
        ("guidance", 0.5),
        ("scheduler", "magic"),
        ("seed", -1),
        ("seed", 2**32),
        ("num_images", 9),
        ("format", "gif"),
        ("prompt", ""),
        ("prompt", "x" * 2001),
        ("prompt", "nul \u0000"),
        ("unknown_field", 1),
    ],
)
def test_a_wrong_field_is_named(user: User, field: str, value: Any) -> None:
    answer = user.http.post("/api/v1/generations", json={**REQUEST, field: value})
    problem = refused(answer, 422, "validation-failed")
    assert [error["field"] for error in problem["errors"]] == [f"body.{field}"]
    assert user.get("/api/v1/generations")["items"] == []


def test_an_unknown_model_is_not_found(user: User) -> None:
    answer = user.http.post("/api/v1/generations", json={**REQUEST, "model": "no-such-model"})
    refused(answer, 404, "model-not-found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/users/me"),
        ("GET", "/api/v1/credits/balance"),
        ("POST", "/api/v1/generations"),
        ("GET", "/api/v1/generations"),
        ("GET", f"/api/v1/generations/{uuid4()}/events"),
        ("GET", "/api/v1/images"),
        ("GET", "/api/v1/models"),
    ],
)
@pytest.mark.parametrize("token", [None, "nonsense", "ek_nonsense"])
def test_nothing_is_open_without_a_valid_token(
    platform: Platform, method: str, path: str, token: str | None
) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    json = REQUEST if method == "POST" else None
    answer = httpx.request(method, platform.url + path, headers=headers, json=json)
    refused(answer, 401, "unauthorized")


def test_other_peoples_things_do_not_exist(platform: Platform, user: User) -> None:
    job = user.wait(user.create(steps=4))
    image = job["image_ids"][0]
    stranger = platform.sign_up()
    for method, path in (
        ("GET", f"/api/v1/generations/{job['id']}"),
        ("GET", f"/api/v1/generations/{job['id']}/events"),
        ("POST", f"/api/v1/generations/{job['id']}/cancel"),
        ("GET", f"/api/v1/images/{image}"),
        ("GET", f"/api/v1/images/{image}/recall"),
    ):
        answer = stranger.http.request(method, path)
        assert answer.status_code == 404, f"{method} {path}: {answer.text}"
    assert stranger.get("/api/v1/generations")["items"] == []
    assert stranger.get("/api/v1/images")["items"] == []


def test_a_taken_email_makes_no_account_and_a_wrong_password_is_refused(
    platform: Platform, user: User
) -> None:
    body = {"email": user.email, "password": uuid4().hex, "display_name": "Again"}
    answer = httpx.post(f"{platform.url}/api/v1/auth/register", json=body)
    assert (answer.status_code, answer.json()) == (202, {"status": "confirm_email"})
    wait_until(lambda: "You have an account" in platform.mailbox.texts(user.email)[0], 30)
    login = {"email": user.email, "password": "wrong password"}
    assert httpx.post(f"{platform.url}/api/v1/auth/login", json=login).status_code == 401


def test_the_gateway_answers_unknown_addresses_with_a_problem(platform: Platform) -> None:
    refused(httpx.get(f"{platform.url}/api/v1/no-such-thing"), 404, "not-found")


def test_the_gateway_answers_to_its_own_names_only(platform: Platform) -> None:
    answer = httpx.get(f"{platform.url}/healthz", headers={"Host": "rebound.example"})
    assert answer.status_code == 421


@pytest.mark.parametrize("service", ["user", "payment", "generation", "gallery", "model"])
def test_every_service_shows_its_documentation(platform: Platform, service: str) -> None:
    page = httpx.get(f"{platform.url}/docs/{service}")
    assert page.status_code == 200
    assert f"/openapi/{service}.json" in page.text
    document = httpx.get(f"{platform.url}/openapi/{service}.json").json()
    assert document["openapi"].startswith("3.")
