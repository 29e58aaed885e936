"""Every service's OpenAPI document is complete: whoever reads it needs nothing else."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from libs.auth.signing_keys import make_signing_key
from services.gallery.app import build_app as build_gallery
from services.gallery.settings import GallerySettings
from services.generation.app import build_app as build_generation
from services.generation.settings import GenerationSettings
from services.model.app import build_app as build_model
from services.model.settings import ModelSettings
from services.payment.app import build_app as build_payment
from services.user.app import build_app as build_user
from services.user.settings import UserSettings
from tests.services.payment.shop import payment_settings

NOWHERE = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"  # nothing connects
REDIS = "redis://127.0.0.1:1/0"
JWKS = "http://127.0.0.1:1/jwks.json"


def user(folder: Path) -> FastAPI:
    make_signing_key(folder, datetime.now(UTC))
    settings = UserSettings(
        port=0,
        database_url=NOWHERE,
        jwks_url=JWKS,
        redis_url=REDIS,
        public_url="https://easel.example",
        signing_keys=folder,
    )
    return build_user(settings)


def payment(_folder: Path) -> FastAPI:
    return build_payment(payment_settings())


def model(_folder: Path) -> FastAPI:
    return build_model(ModelSettings(port=0, database_url=NOWHERE, jwks_url=JWKS, redis_url=REDIS))


def gallery(_folder: Path) -> FastAPI:
    return build_gallery(
        GallerySettings(
            port=0,
            database_url=NOWHERE,
            jwks_url=JWKS,
            redis_url=REDIS,
            s3_bucket_images="easel-images",
            s3_region="ap-northeast-2",
        )
    )


def generation(_folder: Path) -> FastAPI:
    return build_generation(
        GenerationSettings(
            port=0,
            database_url=NOWHERE,
            jwks_url=JWKS,
            redis_url=REDIS,
            model_service_url="http://127.0.0.1:1",
        )
    )


Build = Callable[[Path], FastAPI]
every_service = pytest.mark.parametrize("build", [user, payment, model, gallery, generation])


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


@every_service
def test_every_operation_says_what_it_does(build: Build, tmp_path: Path) -> None:
    document = build(tmp_path).openapi()
    silent = [name for name, operation in operations(document) if not operation.get("description")]
    assert silent == []
    names = [operation["operationId"] for _, operation in operations(document)]
    assert names and len(set(names)) == len(names)


@every_service
def test_what_needs_a_token_says_so_and_says_401(build: Build, tmp_path: Path) -> None:
    for name, operation in operations(build(tmp_path).openapi()):
        access = operation["x-access"]
        if access["who"] in ("anyone", "provider"):
            assert operation["security"] == [], name
            assert "scope" not in access, name
        else:
            token = "service token" if access["who"] == "service" else "access token"
            keys: list[dict[str, list[str]]] = [{"API key": []}] if "scope" in access else []
            assert operation["security"] == [{token: []}, *keys], name
            assert {"401"} | ({"403"} if token == "access token" else set()) <= set(
                operation["responses"]
            ), name


@every_service
def test_every_refusal_is_a_problem_with_an_example(build: Build, tmp_path: Path) -> None:
    for name, operation in operations(build(tmp_path).openapi()):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                content = answer["content"]["application/problem+json"]
                assert content["schema"] and content["examples"], f"{name} {status}"


@every_service
def test_every_answer_has_a_schema(build: Build, tmp_path: Path) -> None:
    for name, operation in operations(build(tmp_path).openapi()):
        good = {s: a for s, a in operation["responses"].items() if int(s) < 400}
        assert good, name
        for status, answer in good.items():
            if status not in ("204", "302", "303"):
                assert all(content["schema"] for content in answer["content"].values()), name


@every_service
def test_every_request_body_has_an_example(build: Build, tmp_path: Path) -> None:
    document = build(tmp_path).openapi()
    for name, operation in operations(document):
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            shape = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            assert shape["examples"], name
