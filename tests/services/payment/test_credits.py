"""Balance and transactions: what the ledger says, from its owner's side."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import pytest

from libs.credits.ledger import GrantKind, grant_credits, hold_credits, settle_hold
from libs.db.engine import Sessions
from libs.db.transaction import transaction
from libs.kernel.ids import new_id
from libs.web.pagination import encode_cursor
from services.payment.movements import captured_by, change_of_available
from tests.services.callers import Caller, named_fields, problem_of, walk

SessionsOf = Callable[[str], Sessions]
BALANCE = "/api/v1/credits/balance"
TRANSACTIONS = "/api/v1/credits/transactions"
NEXT_MONTH = datetime(2099, 2, 1, tzinfo=UTC)
NEXT_YEAR = datetime(2100, 1, 1, tzinfo=UTC)


async def give(
    sessions: SessionsOf,
    caller: Caller,
    amount: int,
    expires_at: datetime | None,
    kind: GrantKind = "plan",
) -> UUID:
    grant_id = new_id()
    async with transaction(sessions("billing"), caller.id) as session:
        await grant_credits(
            session,
            user_id=caller.id,
            grant_id=grant_id,
            key=uuid4().hex,
            kind=kind,
            amount=amount,
            expires_at=expires_at,
        )
    return grant_id


async def hold(sessions: SessionsOf, caller: Caller, amount: int) -> UUID:
    job_id = new_id()
    async with transaction(sessions("generation"), caller.id) as session:
        await hold_credits(session, user_id=caller.id, hold_id=job_id, amount=amount)
    return job_id


async def settle(sessions: SessionsOf, caller: Caller, job_id: UUID, captured: int) -> None:
    async with transaction(sessions("worker"), caller.id) as session:
        await settle_hold(session, user_id=caller.id, hold_id=job_id, captured=captured)


async def test_who_was_given_nothing_has_nothing(ada: Caller) -> None:
    balance = (await ada.get(BALANCE)).json()
    assert balance.pop("grants") == []
    assert set(balance.values()) == {0, "0"}
    assert await walk(ada, TRANSACTIONS) == []


async def test_the_balance_follows_a_charge(ada: Caller, sessions: SessionsOf) -> None:
    await give(sessions, ada, 10_500, NEXT_MONTH)
    job = await hold(sessions, ada, 4_000)
    held = (await ada.get(BALANCE)).json()
    assert (held["total_millicredits"], held["total_credits"]) == (10_500, "10.5")
    assert (held["held_millicredits"], held["held_credits"]) == (4_000, "4")
    assert (held["available_millicredits"], held["available_credits"]) == (6_500, "6.5")
    await settle(sessions, ada, job, 1_500)
    settled = (await ada.get(BALANCE)).json()
    assert (settled["total_millicredits"], settled["held_millicredits"]) == (9_000, 0)
    assert settled["available_millicredits"] == 9_000


async def test_grants_are_shown_in_the_order_in_which_they_are_spent(
    ada: Caller, sessions: SessionsOf
) -> None:
    top_up = await give(sessions, ada, 1_000, None, "top_up")
    late = await give(sessions, ada, 1_000, NEXT_YEAR, "promotion")
    soon = await give(sessions, ada, 1_000, NEXT_MONTH)
    order = [soon, late, top_up]

    async def left() -> dict[str, int]:
        grants = (await ada.get(BALANCE)).json()["grants"]
        return {grant["id"]: grant["remaining_millicredits"] for grant in grants}

    assert list(await left()) == [str(grant) for grant in order]
    (first, *_) = (await ada.get(BALANCE)).json()["grants"]
    assert (first["kind"], first["amount_millicredits"]) == ("plan", 1_000)
    assert datetime.fromisoformat(first["expires_at"]) == NEXT_MONTH
    await settle(sessions, ada, await hold(sessions, ada, 1_400), 1_400)
    assert await left() == {str(late): 600, str(top_up): 1_000}


async def test_transactions_add_up_to_the_balance(ada: Caller, sessions: SessionsOf) -> None:
    grant = await give(sessions, ada, 10_000, NEXT_MONTH)
    job = await hold(sessions, ada, 4_000)
    await settle(sessions, ada, job, 1_500)
    moves = await walk(ada, TRANSACTIONS)
    shown = [(m["kind"], m["amount_millicredits"], m["captured_millicredits"]) for m in moves]
    assert shown == [
        ("release", 2_500, 0),
        ("capture", 0, 1_500),
        ("hold", -4_000, 0),
        ("grant", 10_000, 0),
    ]
    assert [move["reference"] for move in moves] == [str(job)] * 3 + [str(grant)]
    assert moves[2]["amount_credits"] == "-4"
    balance = (await ada.get(BALANCE)).json()
    assert sum(amount for _, amount, _ in shown) == balance["available_millicredits"]


async def test_pages_follow_each_other_newest_first(ada: Caller, sessions: SessionsOf) -> None:
    given = [str(await give(sessions, ada, 1_000, None)) for _ in range(5)]
    pages = await walk(ada, TRANSACTIONS, limit=2)
    assert [move["reference"] for move in pages] == given[::-1]


@pytest.mark.parametrize("cursor", ["nonsense!", encode_cursor(new_id())])
async def test_a_cursor_of_another_list_is_named(ada: Caller, cursor: str) -> None:
    assert named_fields(await ada.get(TRANSACTIONS, cursor=cursor)) == ["query.cursor"]


async def test_other_peoples_credits_are_not_seen(
    ada: Caller, eve: Caller, sessions: SessionsOf
) -> None:
    await give(sessions, ada, 10_000, None)
    await hold(sessions, ada, 4_000)
    assert (await eve.get(BALANCE)).json()["total_millicredits"] == 0
    assert await walk(eve, TRANSACTIONS) == []


async def test_without_a_token_nothing_is_answered(api: httpx.AsyncClient) -> None:
    for path in (BALANCE, TRANSACTIONS):
        assert problem_of(await api.get(path)) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("debit", "credit", "change", "captured"),
    [
        ("grants", "available", 7, 0),
        ("available", "held", -7, 0),
        ("held", "available", 7, 0),
        ("held", "revenue", 0, 7),
    ],
)
def test_a_transfer_from_its_owners_side(
    debit: str, credit: str, change: int, captured: int
) -> None:
    assert change_of_available(debit, credit, 7) == change
    assert captured_by(credit, 7) == captured
