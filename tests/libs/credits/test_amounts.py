"""Amounts that people type are read exactly, or refused."""

import json
from decimal import Decimal

import pytest
from pydantic import BaseModel, ValidationError

from libs.credits.amounts import CreditAmount, to_millicredits


class Wish(BaseModel):
    credits: CreditAmount


@pytest.mark.parametrize(
    ("typed", "millicredits"),
    [
        ("1", 1_000),
        ("1.5", 1_500),
        ('"1.5"', 1_500),
        ('"1.500"', 1_500),
        ("0.001", 1),
        ("1.001", 1_001),
        ("999999.999", 999_999_999),
        ("1000000", 1_000_000_000),
        ("1e3", 1_000_000),
    ],
)
def test_an_amount_is_exact(typed: str, millicredits: int) -> None:
    wish = Wish.model_validate(json.loads(f'{{"credits": {typed}}}'))
    assert to_millicredits(wish.credits) == millicredits


def test_one_amount_has_one_spelling() -> None:
    spellings = [Wish(credits=Decimal(text)).model_dump_json() for text in ("2", "2.0", "2.000")]
    assert set(spellings) == {'{"credits":"2.000"}'}


@pytest.mark.parametrize(
    "typed",
    [
        *("0", "-1", "0.0004", "1.0005", "1000000.001", "1e30", "1e400", "NaN", "-Infinity"),
        *("true", "null", "[]", "{}"),
        *('""', '" 5 "', '"1_000"', '"1e3"', '"NaN"', '"0x10"', '"1,5"', '"\\u0661"', '"1."'),
        '"' + "9" * 16 + '"',
    ],
)
def test_anything_else_is_refused(typed: str) -> None:
    with pytest.raises(ValidationError):
        Wish.model_validate(json.loads(f'{{"credits": {typed}}}'))
