"""What billing works with in the background."""

from dataclasses import dataclass

from libs.db.engine import Sessions
from libs.kernel.clock import Clock
from services.payment.offers import Shelf


@dataclass(frozen=True)
class Desk:
    """Sessions that log in as easel_billing, what is sold, and the time."""

    sessions: Sessions
    shelf: Shelf
    clock: Clock
