"""A customer's credits on paper: grants, what was burned of them, and what became of the rest.

Plain integers of milli-credits. The rules are those of the domain's section on credits: burned
earliest expiry first, then oldest; a hold is captured in the order in which it was burned.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

FAR = 10**12  # later than every expiry, in seconds


@dataclass(eq=False)
class PaperGrant:
    """What was given, and what of it lies there; `ending` once it is over. `owed`: what a refund
    asked for while it was held."""

    kind: str
    amount: int
    given_at: datetime
    expires_at: datetime | None
    left: int
    owed: int = 0
    ending: str | None = None


@dataclass
class PaperHold:
    """Parts of grants that lie aside for a job, in the order in which they were burned."""

    parts: list[tuple[PaperGrant, int]]


@dataclass
class Sums:
    """What happened to a customer's credits in all."""

    issued: Counter[str] = field(default_factory=Counter)
    spent: int = 0
    expired: int = 0
    reversed: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.issued + other.issued,
            self.spent + other.spent,
            self.expired + other.expired,
            self.reversed + other.reversed,
        )


@dataclass
class Paper:
    """All grants of a customer that are not over, what is held, and the sums."""

    grants: list[PaperGrant] = field(default_factory=list)
    history: list[PaperGrant] = field(default_factory=list)
    held: int = 0
    sums: Sums = field(default_factory=Sums)

    def give(
        self, kind: str, amount: int, expires_at: datetime | None, now: datetime
    ) -> PaperGrant:
        """A new grant."""
        grant = PaperGrant(kind, amount, now, expires_at, amount)
        self.grants.append(grant)
        self.history.append(grant)
        self.sums.issued[kind] += amount
        return grant

    def finish(self, grant: PaperGrant, ending: str, now: datetime) -> None:
        """Nothing of the grant can be used any more; what is held comes later."""
        if grant.ending is None:
            self.grants.remove(grant)
            self._write_off(grant, grant.left, ending, now)
            grant.left, grant.ending = 0, ending

    def take_back(self, grant: PaperGrant, amount: int, now: datetime) -> None:
        """A part of the grant, as far as it is not spent; what is held is owed."""
        taken = min(grant.left, amount)
        grant.left -= taken
        grant.owed += amount - taken
        self._write_off(grant, taken, "refunded", now)

    def _write_off(self, grant: PaperGrant, amount: int, ending: str, now: datetime) -> None:
        if grant.given_at == now:  # given and taken back at once was never given
            self.sums.issued[grant.kind] -= amount
        elif ending == "expired":
            self.sums.expired += amount
        else:
            self.sums.reversed += amount

    def expire(self, now: datetime) -> None:
        """Every grant whose time has come is over."""
        for grant in list(self.grants):
            if grant.expires_at is not None and grant.expires_at <= now:
                self.finish(grant, "expired", now)

    def usable(self, now: datetime) -> list[PaperGrant]:
        """The grants that a job can take from, in the order in which they burn."""
        alive = [g for g in self.grants if g.expires_at is None or g.expires_at > now]
        return sorted(
            alive, key=lambda g: (g.expires_at.timestamp() if g.expires_at else FAR, g.given_at)
        )

    def available(self, now: datetime) -> int:
        return sum(grant.left for grant in self.usable(now))

    def hold(self, amount: int, now: datetime) -> PaperHold | None:
        """Lay `amount` aside; None if that is not there."""
        if amount > self.available(now):
            return None
        parts, missing = [], amount
        for grant in self.usable(now):
            part = min(grant.left, missing)
            if part:
                grant.left -= part
                missing -= part
                parts.append((grant, part))
        self.held += amount
        return PaperHold(parts)

    def settle(self, hold: PaperHold, captured: int, now: datetime) -> None:
        """Spend `captured` of a hold; the rest goes back to where it came from."""
        for grant, part in hold.parts:
            spent = min(part, captured)
            captured -= spent
            self.held -= part
            self.sums.spent += spent
            self._return(grant, part - spent, now)

    def _return(self, grant: PaperGrant, amount: int, now: datetime) -> None:
        """What was held and not spent comes back, if the grant is not over and nothing is owed."""
        if grant.ending is not None:
            self._write_off(grant, amount, grant.ending, now)
            return
        paid = min(grant.owed, amount)
        grant.owed -= paid
        grant.left += amount - paid
        self._write_off(grant, paid, "refunded", now)
