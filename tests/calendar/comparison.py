"""Reads what our side has, and says where it differs from the clerk's paper."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from tests.calendar.clerk import Account
from tests.calendar.paper import Sums

OpenGrant = tuple[str, int, datetime | None, int]  # kind, amount, expires at, left

TIERS = text("SELECT user_id, tier FROM ops.entitlements")
OPEN_GRANTS = text("SELECT user_id, kind, amount, expires_at, remaining FROM credits.open_grants")
HELD = text("SELECT user_id, sum(amount)::bigint AS held FROM credits.holds GROUP BY user_id")
# A grant that is taken back in the instant in which it was given was never given: whether there is
# one at all depends on the order in which webhooks came.
MOVED = text(
    """
    SELECT t.user_id, g.kind AS grant_kind, t.kind, t.created_at = g.created_at AS at_once,
        sum(t.amount)::bigint AS amount
    FROM credits.transfers t JOIN credits.grants g ON g.id = t.grant_id
    WHERE t.kind IN ('grant', 'capture', 'expire', 'reverse')
    GROUP BY 1, 2, 3, 4
    """
)
GIVEN = text(
    "SELECT created_at, kind, amount, expires_at, ending FROM credits.grants WHERE user_id = :user"
)


@dataclass
class Picture:
    """A customer at the end of a day. Amounts in milli-credits."""

    tier: str = "free"
    balance: int = 0
    held: int = 0
    sums: Sums = field(default_factory=Sums)
    open_grants: list[OpenGrant] = field(default_factory=list)

    def rows(self) -> dict[str, object]:
        """Each figure by its name."""
        issued = {kind: amount for kind, amount in sorted(self.sums.issued.items()) if amount}
        return {
            "tier": self.tier,
            "issued": issued,
            "spent": self.sums.spent,
            "expired": self.sums.expired,
            "reversed": self.sums.reversed,
            "held": self.held,
            "balance": self.balance,
            "open grants": sorted(self.open_grants, key=str),
        }


def on_paper(account: Account) -> Picture:
    """What the clerk has."""
    paper = account.paper
    grants = [(g.kind, g.amount, g.expires_at, g.left) for g in paper.grants]
    balance = sum(grant.left for grant in paper.grants)
    return Picture(account.tier, balance, paper.held, paper.sums, grants)


async def in_database(session: AsyncSession) -> dict[UUID, Picture]:
    """What our side has, of everybody; the session sees all rows."""
    pictures: dict[UUID, Picture] = defaultdict(Picture)
    for row in await session.execute(TIERS):
        pictures[row.user_id].tier = row.tier
    for row in await session.execute(OPEN_GRANTS):
        grant = (row.kind, row.amount, row.expires_at, row.remaining)
        pictures[row.user_id].open_grants.append(grant)
        pictures[row.user_id].balance += row.remaining
    for row in await session.execute(HELD):
        pictures[row.user_id].held = row.held
    for row in await session.execute(MOVED):
        add(pictures[row.user_id].sums, row.kind, row.grant_kind, row.at_once, row.amount)
    return pictures


def add(sums: Sums, kind: str, grant_kind: str, at_once: bool, amount: int) -> None:
    """Count a transfer."""
    if kind == "grant":
        sums.issued[grant_kind] += amount
    elif kind == "capture":
        sums.spent += amount
    elif at_once:
        sums.issued[grant_kind] -= amount
    elif kind == "expire":
        sums.expired += amount
    else:
        sums.reversed += amount


def differences(expected: Picture, found: Picture) -> list[str]:
    """One line for each figure that is not the same."""
    there = found.rows()
    return [
        f"{name}: clerk {value}, ours {there[name]}"
        for name, value in expected.rows().items()
        if value != there[name]
    ]


def total(pictures: Mapping[UUID, Picture]) -> dict[str, object]:
    """All customers together, as one."""
    whole = Picture()
    for picture in pictures.values():
        whole.sums += picture.sums
        whole.balance += picture.balance
        whole.held += picture.held
    tiers = Counter(picture.tier for picture in pictures.values())
    return {**whole.rows(), "tier": dict(sorted(tiers.items()))}


async def different_grants(session: AsyncSession, account: Account, user_id: UUID) -> list[str]:
    """Every grant that one side alone ever gave, as text."""
    rows = await session.execute(GIVEN, {"user": user_id})
    ours = Counter(_told(r.created_at, r.kind, r.amount, r.expires_at, r.ending) for r in rows)
    paper = Counter(
        _told(g.given_at, g.kind, g.amount, g.expires_at, g.ending) for g in account.paper.history
    )
    clerk = [f"the clerk alone gave {grant}" for grant in sorted((paper - ours).elements())]
    return clerk + [f"we alone gave {grant}" for grant in sorted((ours - paper).elements())]


def _told(given: datetime, kind: str, amount: int, end: datetime | None, ending: str | None) -> str:
    until = f"until {end:%Y-%m-%d %H:%M:%S}" if end else "for ever"
    return f"{given:%Y-%m-%d %H:%M:%S} {kind} {amount} {until}, {ending or 'open'}"
