"""What a bought pack of credits gives: pure."""

from libs.credits.pricing import MILLI
from libs.tiers.catalogue import PackName, load_catalogue
from services.payment.grants import DueGrant, Reversal

GIVES = ("paid", "partial_refund")


def due_top_up(
    order: str, pack: PackName, *, status: str, total_cents: int, refunded_cents: int
) -> DueGrant | None:
    """The credits of a paid order, which do not expire, less the share that was refunded.

    None: it is not paid, it was refunded in full, or the provider calls it fraudulent.
    """
    if status not in GIVES or 0 < total_cents <= refunded_cents:
        return None
    amount = load_catalogue().pack(pack).credits * MILLI
    share = amount * refunded_cents // total_cents if total_cents else 0
    reversals = (Reversal(f"orders:{order}", share),) if share else ()
    return DueGrant(f"topup:{order}", "top_up", amount, None, reversals)
