"""Random lives of two users on real PostgreSQL, step by step beside a reference model.

Grants, holds, captures, releases, expiries, refunds, duplicates, retries, roll-backs, races and
clock jumps; after each step: never negative, every hold ended once, every transaction sums to
zero, balances are the sums of postings, and both ledgers agree to the milli-credit.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits import ledger
from libs.credits.audit import ledger_check
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from tests.libs.credits.ledger_state import ACCOUNTS, HELD, OPEN, PARTS, UNBALANCED
from tests.libs.credits.reference_ledger import Account, Hold

users = st.integers(0, 1)
# from a thousand credits on, a grant lies in several pockets
amounts = st.integers(50, 400) | st.sampled_from([1_000_000, 1_000_003, 2_500_000])
# twentieths of what is available: more than 20 is refused
shares = st.sampled_from([1, 1, 1, 2, 2, 3, 5, 8, 20, 21])
days = st.integers(1, 60)
keys = st.integers(0, 9)
grants = st.integers(0, 8)
picks = st.integers(0, 99)


class RolledBack(Exception):
    """The caller's transaction fails after the ledger's part of it."""


class LedgerMachine(RuleBasedStateMachine):
    """Two fresh users for each life, in one database, each with something to spend."""

    runner: ClassVar[asyncio.Runner]
    sessions: ClassVar[dict[str, Sessions]]

    @initialize()
    def open(self) -> None:
        self.now = datetime(2026, 1, 31, tzinfo=UTC)
        self.ids = [uuid4(), uuid4()]
        self.accounts = [Account(), Account()]
        self.fresh_numbers = itertools.count(100)
        for user in (0, 1):
            self.grant(user, 6, 900, 20)
            self.grant(user, 7, 1_000_007, 40)
            self.grant(user, 8, 700, None)

    def amount(self, user: int, share: int) -> int:
        """Milli-credits to ask for."""
        return max(1, self.accounts[user].available(self.now) * share // 20)

    def do(self, role: str, user: int, work: Callable[[AsyncSession], Awaitable[Any]]) -> Any:
        """Work in one transaction of a role, as the user."""

        async def run() -> Any:
            async with transaction(self.sessions[role], self.ids[user]) as session:
                return await work(session)

        return self.runner.run(run())

    def key(self, user: int, number: int) -> str:
        return f"{self.ids[user]}:{number}"

    def hold_id(self, user: int, number: int) -> UUID:
        return UUID(int=self.ids[user].int ^ number + 1)

    @rule(user=users, number=keys, amount=amounts, lives=st.none() | days)
    def grant(self, user: int, number: int, amount: int, lives: int | None) -> None:
        key = self.key(user, number)
        expires = self.now + timedelta(days=lives) if lives else None
        given = self.do(
            "billing",
            user,
            lambda s: ledger.grant_credits(
                s,
                user_id=self.ids[user],
                grant_id=uuid4(),
                key=key,
                kind="promotion",
                amount=amount,
                expires_at=expires,
                now=self.now + timedelta(microseconds=len(self.accounts[user].grants)),
            ),
        )
        assert given == self.accounts[user].grant(key, amount, expires)

    async def try_hold(self, user: int, number: int, amount: int, lives: int | None) -> str:
        try:
            async with transaction(self.sessions["generation"], self.ids[user]) as session:
                await ledger.hold_credits(
                    session,
                    user_id=self.ids[user],
                    hold_id=self.hold_id(user, number),
                    amount=amount,
                    expires_at=self.now + timedelta(days=lives) if lives else None,
                    now=self.now,
                )
        except ledger.InsufficientCredits:
            return "insufficient"
        return "held"

    @rule(user=users, number=keys, share=shares, lives=st.none() | days)
    def hold(self, user: int, number: int, share: int, lives: int | None) -> None:
        amount = self.amount(user, share)
        expires = self.now + timedelta(days=lives) if lives else None
        outcome = self.runner.run(self.try_hold(user, number, amount, lives))
        account = self.accounts[user]
        assert outcome == account.hold(self.hold_id(user, number), amount, expires, self.now)

    @rule(user=users, share=shares, count=st.integers(2, 6))
    def race(self, user: int, share: int, count: int) -> None:
        """Equal holds at once: as many as fit are accepted, whoever wins."""
        account, amount = self.accounts[user], self.amount(user, share)
        numbers = [next(self.fresh_numbers) for _ in range(count)]

        async def run() -> list[str]:
            return await asyncio.gather(*(self.try_hold(user, n, amount, None) for n in numbers))

        outcomes = self.runner.run(run())
        fitting = min(count, account.available(self.now) // amount)
        assert outcomes.count("held") == fitting
        won = [self.hold_id(user, n) for n, o in zip(numbers, outcomes, strict=True) if o == "held"]
        self.adopt(user, won)

    def adopt(self, user: int, won: list[UUID]) -> None:
        """Who got which part of a race is the database's choice; the sums are not."""

        async def read(session: AsyncSession) -> list[Any]:
            return list((await session.execute(PARTS, {"holds": won})).all())

        account = self.accounts[user]
        for row in self.do("billing", user, read):
            account.holds.setdefault(row.reference, Hold([], None)).parts.append(
                (row.key, row.amount)
            )
            account.grants[row.key].remaining -= row.amount

    def pick_hold(self, user: int, pick: int) -> UUID:
        """Mostly an open hold; else one that has ended, or that never was."""
        account = self.accounts[user]
        known = sorted(account.holds) if pick % 5 else [*sorted(account.settled), uuid4()]
        return known[pick % len(known)] if known else uuid4()

    @rule(user=users, pick=picks, share=st.integers(0, 4))
    def settle(self, user: int, pick: int, share: int) -> None:
        account, hold_id = self.accounts[user], self.pick_hold(user, pick)
        if hold_id not in account.holds and hold_id not in account.settled:
            with pytest.raises(ledger.UnknownHold):
                self.settle_now(user, hold_id, 0)
            return
        captured = account.holds[hold_id].amount * share // 4 if hold_id in account.holds else 1
        assert self.settle_now(user, hold_id, captured) == account.settle(hold_id, captured)

    def settle_now(self, user: int, hold_id: UUID, captured: int) -> bool:
        outcome = self.do(
            "worker",
            user,
            lambda s: ledger.settle_hold(
                s, user_id=self.ids[user], hold_id=hold_id, captured=captured, now=self.now
            ),
        )
        return bool(outcome)

    @rule(user=users, number=grants, why=st.sampled_from(["expired", "replaced", "refunded"]))
    def end(self, user: int, number: int, why: ledger.Ending) -> None:
        key = self.key(user, number)
        taken = self.do(
            "billing",
            user,
            lambda s: ledger.end_grant(s, user_id=self.ids[user], key=key, why=why, now=self.now),
        )
        assert taken == self.accounts[user].end(key)

    @rule(user=users, number=grants, reversal=st.integers(0, 2), amount=st.integers(1, 300))
    def take_back(self, user: int, number: int, reversal: int, amount: int) -> None:
        key, reversal_id = self.key(user, number), self.hold_id(user, 1_000_000 + reversal)
        taken = self.do(
            "billing",
            user,
            lambda s: ledger.take_back(
                s,
                user_id=self.ids[user],
                key=key,
                reversal_id=reversal_id,
                amount=amount,
                now=self.now,
            ),
        )
        assert taken == self.accounts[user].take_back(key, reversal_id, amount)

    @rule(user=users)
    def expire(self, user: int) -> None:
        taken = self.do(
            "billing",
            user,
            lambda s: ledger.expire_credits(s, user_id=self.ids[user], now=self.now),
        )
        assert taken == self.accounts[user].expire(self.now)

    @rule(user=users)
    def release_late_holds(self, user: int) -> None:
        released = self.do(
            "billing",
            user,
            lambda s: ledger.release_expired_holds(s, user_id=self.ids[user], now=self.now),
        )
        assert released == self.accounts[user].release_expired(self.now)

    @rule(user=users, number=keys, share=shares)
    def fail_after_the_hold(self, user: int, number: int, share: int) -> None:
        """The job's transaction rolls back: nothing of its hold is left."""
        amount = self.amount(user, share)

        async def run() -> None:
            async with transaction(self.sessions["generation"], self.ids[user]) as session:
                await ledger.hold_credits(
                    session,
                    user_id=self.ids[user],
                    hold_id=self.hold_id(user, number),
                    amount=amount,
                    now=self.now,
                )
                raise RolledBack

        with pytest.raises((RolledBack, ledger.InsufficientCredits)):
            self.runner.run(run())

    @rule(hours=st.integers(-72, 24 * 15))
    def jump(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @invariant()
    def agree(self) -> None:
        async def run() -> None:
            async with transaction(self.sessions["billing"]) as session:
                await self.compare(session)

        self.runner.run(run())

    async def compare(self, session: AsyncSession) -> None:
        both = {"users": self.ids}
        left = [(r.key, r.remaining) for r in await session.execute(OPEN, both)]
        held = [(r.id, r.amount) for r in await session.execute(HELD, both)]
        live = [(k, g) for a in self.accounts for k, g in a.grants.items() if not g.ended]
        assert sorted(left) == sorted((key, grant.remaining) for key, grant in live)
        open_holds = [(i, hold.amount) for a in self.accounts for i, hold in a.holds.items()]
        assert sorted(held) == sorted(open_holds)
        totals = {row.account: row.balance for row in await session.execute(ACCOUNTS, both)}
        assert -totals.get("issued", 0) == sum(account.issued for account in self.accounts)
        assert totals.get("revenue", 0) == sum(account.spent for account in self.accounts)
        lost = totals.get("expired", 0) + totals.get("reversed", 0)
        assert lost == sum(account.lost for account in self.accounts)
        assert totals.get("grant", 0) == sum(amount for _, amount in left) >= 0
        assert totals.get("held", 0) == sum(amount for _, amount in held) >= 0
        assert (await session.execute(UNBALANCED, both)).all() == []
        assert await ledger_check(session) == []


@pytest.fixture
def machine(own_loop: asyncio.Runner, own_sessions: dict[str, Sessions]) -> type[LedgerMachine]:
    """The machine on a database of its own."""
    LedgerMachine.runner, LedgerMachine.sessions = own_loop, own_sessions
    return LedgerMachine


def test_the_ledger_agrees_with_its_reference_model(machine: type[LedgerMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
