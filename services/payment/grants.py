"""From what is due to what is posted: pure. The ledger's grants are made those that are due.

So what was ended on half of the facts comes back when the other half is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

GrantKind = Literal["plan", "trial", "top_up"]
Ending = Literal["expired", "replaced", "refunded"]
AGAIN = "#"  # `key#1` gives back what the end of `key` took too early


@dataclass(frozen=True)
class Reversal:
    """A part of a grant that a partial refund of `source` takes back, in milli-credits."""

    source: str
    amount: int


@dataclass(frozen=True)
class DueGrant:
    """Credits that are due now, once a key, in milli-credits; `expires_at` None: for ever."""

    key: str
    kind: GrantKind
    amount: int
    expires_at: datetime | None
    reversals: tuple[Reversal, ...] = ()


@dataclass(frozen=True)
class KnownGrant:
    """A grant of the ledger; `ending` None: it lives. In milli-credits."""

    key: str
    ending: Ending | None
    taken_by_its_end: int

    @property
    def occasion(self) -> str:
        """The key of what it was given for."""
        return self.key.partition(AGAIN)[0]

    def belongs_to(self, subscription: str) -> bool:
        """Whether it is a plan or trial grant of that subscription."""
        return self.key.split(":")[1] == subscription


@dataclass(frozen=True)
class Postings:
    """What is to be posted: grants that end, one that is given (key and amount), and the key of
    the one that lives then."""

    ends: tuple[str, ...]
    gives: tuple[str, int] | None
    live: str | None


def postings(due: DueGrant | None, known: Sequence[KnownGrant]) -> Postings:
    """What makes `due` the only live one of the known grants, which are in order of their making.

    What is not due lives no more. What is due is given once; if it was ended without a refund, what
    its end took comes back.
    """
    living = [grant for grant in known if grant.ending is None]
    ends = tuple(grant.key for grant in living if due is None or grant.occasion != due.key)
    if due is None:
        return Postings(ends, None, None)
    given = [grant for grant in known if grant.occasion == due.key]
    if live := next((grant for grant in given if grant.ending is None), None):
        return Postings(ends, None, live.key)
    if not given:
        return Postings(ends, (due.key, due.amount), due.key)
    last = given[-1]
    if last.ending == "refunded" or last.taken_by_its_end == 0:
        return Postings(ends, None, None)
    again = f"{due.key}{AGAIN}{len(given)}"
    return Postings(ends, (again, last.taken_by_its_end), again)
