"""How a ledger transfer looks from its owner's side."""

from typing import Literal

Kind = Literal["grant", "hold", "capture", "release", "expire", "reverse"]
# What a transfer does to the credits that can be spent. A capture takes what was held before.
CHANGE: dict[Kind, int] = {
    "grant": 1,
    "release": 1,
    "hold": -1,
    "expire": -1,
    "reverse": -1,
    "capture": 0,
}


def change_of_available(kind: Kind, amount: int) -> int:
    """Milli-credits by which a transfer changed what the user can spend."""
    return amount * CHANGE[kind]


def captured_by(kind: Kind, amount: int) -> int:
    """Milli-credits that a transfer took for good."""
    return amount if kind == "capture" else 0
