"""Amounts of credits that people type: a number or a decimal string, exact to the milli-credit."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from libs.credits.pricing import MILLI

DECIMALS = 3
MAX_CREDITS = 1_000_000
MAX_MILLICREDITS = MAX_CREDITS * MILLI
PLAIN = re.compile(r"-?[0-9]{1,15}(\.[0-9]+)?")
SHAPE = {
    "description": "Credits, with at most 3 decimals",
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_CREDITS},
        {"type": "string", "pattern": r"^[0-9]{1,7}(\.[0-9]{1,3})?$"},
    ],
    "examples": ["12.5"],
}


def require_plain_decimal(value: Any) -> Any:
    """Raises ValueError for a text that is not written like "12.345" (exponents, spaces, "NaN")."""
    if isinstance(value, str) and not PLAIN.fullmatch(value):
        raise ValueError('must be a number of credits such as 12 or "12.345"')
    return value


def to_thousandths(credits: Decimal) -> Decimal:
    """One spelling for one amount, so that equal requests are equal."""
    return credits.quantize(Decimal(1).scaleb(-DECIMALS))


CreditAmount = Annotated[
    Decimal,
    BeforeValidator(require_plain_decimal),
    Field(gt=0, le=MAX_CREDITS, decimal_places=DECIMALS),
    AfterValidator(to_thousandths),
    WithJsonSchema(SHAPE),
]


def to_millicredits(credits: Decimal) -> int:
    """Milli-credits of a validated CreditAmount."""
    return int(credits * MILLI)
