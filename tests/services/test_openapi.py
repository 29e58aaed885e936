"""Every service's OpenAPI document says every answer, with an example of every problem."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import FastAPI

from libs.kernel.problems import all_problems
from libs.kernel.settings import load

SERVICES = {
    "user": "UserSettings",
    "payment": "PaymentSettings",
    "generation": "GenerationSettings",
    "gallery": "GallerySettings",
    "model": "ModelSettings",
}
ENVIRONMENT = {
    "EASEL_PORT": "0",
    "EASEL_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:9/none",
    "EASEL_JWKS_URL": "http://127.0.0.1:9/jwks.json",
    "EASEL_REDIS_URL": "redis://127.0.0.1:9/0",
    "EASEL_MODEL_SERVICE_URL": "http://127.0.0.1:9",
    "EASEL_S3_BUCKET_IMAGES": "images",
    "EASEL_S3_REGION": "eu-west-1",
}


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The least that a service starts with."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    for name, value in {**ENVIRONMENT, "EASEL_SIGNING_KEY_FILE": str(tmp_path / "key.pem")}.items():
        monkeypatch.setenv(name, value)


def build(service: str) -> FastAPI:
    settings_module = importlib.import_module(f"services.{service}.settings")
    app_module = importlib.import_module(f"services.{service}.app")
    app: FastAPI = app_module.build_app(load(getattr(settings_module, SERVICES[service])))
    return app


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def slugs() -> set[str]:
    return {problem.slug for problem in all_problems()}


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_says_what_it_answers(service: str) -> None:
    document = build(service).openapi()
    found = list(operations(document))
    assert found
    for name, operation in found:
        assert operation.get("description"), f"{name} says nothing of itself"
        answers = operation["responses"]
        assert {"500", "503"} <= set(answers), name
        if operation.get("security"):
            assert "401" in answers, name
        if operation.get("parameters") or operation.get("requestBody"):
            assert "422" in answers, name
        for status, answer in answers.items():
            if int(status) < 400:
                continue
            content = answer["content"]
            assert list(content) == ["application/problem+json"], f"{name} {status}"
            examples = content["application/problem+json"]["examples"]
            assert examples and set(examples) <= slugs(), f"{name} {status}"


@pytest.mark.parametrize("service", SERVICES)
def test_references_lead_somewhere_and_bodies_have_examples(service: str) -> None:
    document = build(service).openapi()
    text = json.dumps(document)
    assert "$defs" not in text
    schemas = document["components"]["schemas"]
    for reference in text.split('"#/components/schemas/')[1:]:
        assert reference.split('"')[0] in schemas
    for name, operation in operations(document):
        body = operation.get("requestBody")
        if body:
            reference = body["content"]["application/json"]["schema"]["$ref"]
            assert schemas[reference.rsplit("/", 1)[-1]].get("examples"), f"{name} has no example"
