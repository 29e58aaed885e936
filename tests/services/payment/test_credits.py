"""Balance and transactions: what the ledger says, from its owner's side."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from libs.kernel.clock import utc_now
from libs.kernel.ids import new_id
from libs.web.pagination import encode_cursor
from services.payment.movements import Kind, captured_by, change_of_available
from tests.services.callers import Caller, named_fields, problem_of, walk
from tests.services.payment.ledger_moves import SessionsOf, give, hold, settle

BALANCE = "/api/v1/credits/balance"
TRANSACTIONS = "/api/v1/credits/transactions"
NEXT_MONTH = datetime(2099, 2, 1, tzinfo=UTC)
NEXT_YEAR = datetime(2100, 1, 1, tzinfo=UTC)


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


async def test_what_has_expired_is_not_shown_and_cannot_be_spent(
    ada: Caller, sessions: SessionsOf
) -> None:
    now = utc_now()
    await give(sessions, ada, 1_000, now - timedelta(seconds=1), now=now - timedelta(days=1))
    kept = await give(sessions, ada, 2_000, now + timedelta(hours=1))
    balance = (await ada.get(BALANCE)).json()
    assert (balance["available_millicredits"], balance["total_credits"]) == (2_000, "2")
    assert [grant["id"] for grant in balance["grants"]] == [str(kept)]


async def test_a_charge_that_empties_two_grants_tells_of_both(
    ada: Caller, sessions: SessionsOf
) -> None:
    soon = await give(sessions, ada, 1_000, NEXT_MONTH)
    late = await give(sessions, ada, 1_000, None)
    await settle(sessions, ada, await hold(sessions, ada, 1_500, model="demo"), 1_500)
    moves = await walk(ada, TRANSACTIONS)
    captures = {m["grant_id"]: m["captured_millicredits"] for m in moves if m["kind"] == "capture"}
    assert captures == {str(soon): 1_000, str(late): 500}
    assert {m["model"] for m in moves} == {"demo", None}


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
    ("kind", "change", "captured"),
    [
        ("grant", 7, 0),
        ("hold", -7, 0),
        ("release", 7, 0),
        ("capture", 0, 7),
        ("expire", -7, 0),
        ("reverse", -7, 0),
    ],
)
def test_a_transfer_from_its_owners_side(kind: Kind, change: int, captured: int) -> None:
    assert change_of_available(kind, 7) == change
    assert captured_by(kind, 7) == captured
