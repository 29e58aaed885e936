"""Attacks on API keys, on running services."""

from collections.abc import Callable, Mapping

import pytest

from libs.auth.api_keys import make_api_key
from libs.auth.principals import SCOPES
from tests.isolation.doors import encode, refused, show
from tests.stack.people import Person, api_key, new_person
from tests.stack.running import Stack


@pytest.fixture
def ada(stack: Stack) -> Person:
    return new_person(stack)


def altered(key: str, place: int) -> str:
    other = "A" if key[place] != "A" else "B"
    return key[:place] + other + key[place + 1 :]


WRONG_KEYS: Mapping[str, Callable[[str], str]] = {
    "another prefix": lambda key: "sk_" + key[3:],
    "a prefix of other letters": lambda key: "EK_" + key[3:],
    "no prefix": lambda key: key[3:],
    "truncated": lambda key: key[:-1],
    "longer": lambda key: key + "0",
    "its first half": lambda key: key[: len(key) // 2],
    "one character of the secret altered": lambda key: altered(key, 12),
    "one character of the checksum altered": lambda key: (
        key[:-1] + ("0" if key[-1] != "0" else "1")
    ),
    "other letters": lambda key: key.swapcase(),
    "a space within": lambda key: f"{key[:10]} {key[10:]}",
}


@pytest.mark.parametrize("change", WRONG_KEYS)
def test_an_api_key_that_is_almost_right(ada: Person, change: str) -> None:
    key = api_key(ada, SCOPES).secret
    assert show(ada.stack, key) == [200, 200]
    assert refused(ada.stack, WRONG_KEYS[change](key))


def test_an_invented_api_key_with_a_right_checksum(stack: Stack) -> None:
    assert refused(stack, make_api_key())


def test_the_stored_hash_of_a_key_is_no_key(ada: Person) -> None:
    key = api_key(ada, SCOPES)
    [(stored,)] = ada.stack.sql("SELECT key_hash FROM ops.api_keys WHERE id = :id", id=key.id)
    for shown in (stored.hex(), f"ek_{stored.hex()}", f"ek_{encode(stored)}"):
        assert refused(ada.stack, shown)
