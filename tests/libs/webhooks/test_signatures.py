"""Signatures against the published vector of Standard Webhooks, and against forgeries."""

import base64
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from libs.webhooks.signatures import make_secret, sign, signed_headers
from tests.libs.webhooks.receiver import Received

MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_published_vector_is_signed_as_published() -> None:
    """From the tests of the libraries at github.com/standard-webhooks/standard-webhooks."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_random_and_of_the_length_that_is_asked_for() -> None:
    made = {make_secret() for _ in range(100)}
    assert len(made) == 100
    for secret in made:
        assert secret.startswith("whsec_")
        assert 24 <= len(base64.b64decode(secret[6:], validate=True)) <= 64


def test_what_is_no_secret_signs_nothing() -> None:
    for text in ("", "secret", "whsec_!"):
        with pytest.raises(ValueError):
            sign(text, "id", 1, b"")


def received(secrets: list[str], body: bytes) -> Received:
    return Received("/", signed_headers(secrets, uuid4(), MOMENT, body), body)


def test_each_valid_secret_signs() -> None:
    new, old = make_secret(), make_secret()
    both = received([new, old], b"{}")
    assert both.is_signed_by(new) and both.is_signed_by(old)
    assert not both.is_signed_by(make_secret())
    assert not received([new], b"{}").is_signed_by(old)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_id_and_time_are_signed_with_the_body(name: str) -> None:
    secret = make_secret()
    true = received([secret], b"{}")
    assert true.is_signed_by(secret)
    assert not Received("/", true.headers, b"{ }").is_signed_by(secret)
    assert not Received("/", {**true.headers, name: "1"}, b"{}").is_signed_by(secret)
