"""How a ledger transfer looks from its owner's side."""

AVAILABLE = "available"
REVENUE = "revenue"


def change_of_available(debit: str, credit: str, amount: int) -> int:
    """Milli-credits by which a transfer changed what the user can spend."""
    return amount * ((credit == AVAILABLE) - (debit == AVAILABLE))


def captured_by(credit: str, amount: int) -> int:
    """Milli-credits that a transfer took for good."""
    return amount if credit == REVENUE else 0
