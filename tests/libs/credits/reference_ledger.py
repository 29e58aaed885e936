"""The ledger's rules once more, as small as they can be said: what the real one must agree with."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

Parts = list[tuple[str, int]]  # the grant's key, milli-credits


@dataclass
class Grant:
    """What was given, and what is left of it."""

    order: int
    expires_at: datetime | None
    remaining: int
    owed: int = 0
    ended: bool = False

    def burn_order(self) -> tuple[bool, float, int]:
        """Earliest expiry first, then oldest."""
        expires = self.expires_at.timestamp() if self.expires_at else 0.0
        return (self.expires_at is None, expires, self.order)

    def take_in(self, released: int) -> int:
        """Take back what a hold releases, but for what is owed; answers that."""
        paid = min(self.owed, released)
        self.owed -= paid
        self.remaining += released - paid
        return paid

    def is_live(self, now: datetime) -> bool:
        """Whether credits can be taken from it."""
        return not self.ended and (self.expires_at is None or self.expires_at > now)


@dataclass
class Hold:
    """What was set aside, and from which grants."""

    parts: Parts
    expires_at: datetime | None

    @property
    def amount(self) -> int:
        return sum(amount for _, amount in self.parts)


@dataclass
class Account:
    """One user's credits. Totals are kept apart from balances, so that they can be compared."""

    grants: dict[str, Grant] = field(default_factory=dict)
    holds: dict[UUID, Hold] = field(default_factory=dict)
    settled: set[UUID] = field(default_factory=set)
    reversals: set[UUID] = field(default_factory=set)
    issued: int = 0
    spent: int = 0
    lost: int = 0

    def grant(self, key: str, amount: int, expires_at: datetime | None) -> bool:
        if key in self.grants:
            return False
        self.grants[key] = Grant(len(self.grants), expires_at, amount)
        self.issued += amount
        return True

    def available(self, now: datetime) -> int:
        return sum(grant.remaining for grant in self.grants.values() if grant.is_live(now))

    def hold(self, hold_id: UUID, amount: int, expires_at: datetime | None, now: datetime) -> str:
        if hold_id in self.holds or hold_id in self.settled:
            return "held"
        if self.available(now) < amount:
            return "insufficient"
        parts: Parts = []
        for key, grant in sorted(self.grants.items(), key=lambda item: item[1].burn_order()):
            part = min(grant.remaining, amount) if grant.is_live(now) else 0
            if part:
                grant.remaining -= part
                amount -= part
                parts.append((key, part))
        self.holds[hold_id] = Hold(parts, expires_at)
        return "held"

    def settle(self, hold_id: UUID, captured: int) -> bool:
        hold = self.holds.pop(hold_id, None)
        if hold is None:
            return False
        self.settled.add(hold_id)
        self.spent += captured
        for key, part in hold.parts:
            taken = min(part, captured)
            captured -= taken
            if self.grants[key].ended:
                self.lost += part - taken
            else:
                self.lost += self.grants[key].take_in(part - taken)
        return True

    def release_expired(self, now: datetime) -> int:
        late = [i for i, hold in self.holds.items() if hold.expires_at and hold.expires_at <= now]
        return sum(self.settle(hold_id, 0) for hold_id in late)

    def end(self, key: str) -> int:
        grant = self.grants.get(key)
        if grant is None or grant.ended:
            return 0
        taken, grant.remaining, grant.ended = grant.remaining, 0, True
        self.lost += taken
        return taken

    def expire(self, now: datetime) -> int:
        due = [k for k, g in self.grants.items() if g.expires_at and g.expires_at <= now]
        return sum(self.end(key) for key in due)

    def take_back(self, key: str, reversal: UUID, amount: int) -> int:
        grant = self.grants.get(key)
        if grant is None or grant.ended or reversal in self.reversals:
            return 0
        self.reversals.add(reversal)
        taken = min(grant.remaining, amount)
        grant.remaining -= taken
        grant.owed += amount - taken
        self.lost += taken
        return taken
