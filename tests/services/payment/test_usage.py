"""What was spent, by day, model and key."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from libs.kernel.clock import utc_now
from tests.services.callers import Caller, named_fields, problem_of
from tests.services.payment.ledger_moves import SessionsOf, give, hold, settle

USAGE = "/api/v1/credits/usage"
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
KEY = uuid4()


async def spend(
    sessions: SessionsOf, caller: Caller, amount: int, at: datetime, **told: Any
) -> None:
    job = await hold(sessions, caller, amount + 500, now=at, **told)
    await settle(sessions, caller, job, amount, now=at)


@pytest.fixture
async def spender(ada: Caller, sessions: SessionsOf) -> Caller:
    """Ada in March: the last instant of the first day, the second day, the fourth."""
    await give(sessions, ada, 3_000, FIRST + timedelta(days=300), now=FIRST)
    await give(sessions, ada, 90_000, None, "top_up", now=FIRST)
    last_instant = FIRST + timedelta(days=1, microseconds=-1)
    await spend(sessions, ada, 1_000, last_instant, model="demo")
    await spend(sessions, ada, 2_500, FIRST + timedelta(days=1), model="demo", key_id=KEY)
    await spend(sessions, ada, 4_000, FIRST + timedelta(days=3), model="photo", key_id=KEY)
    return ada


def groups(answer: dict[str, Any]) -> list[tuple[str | None, int, int]]:
    return [
        (item["group"], item["generations"], item["captured_millicredits"])
        for item in answer["items"]
    ]


MARCH = {"from": "2026-03-01", "to": "2026-03-31"}


async def test_by_day(spender: Caller) -> None:
    usage = (await spender.get(USAGE, group_by="day", **MARCH)).json()
    # the second charge took from two grants, and is one generation
    assert groups(usage) == [
        ("2026-03-01", 1, 1_000),
        ("2026-03-02", 1, 2_500),
        ("2026-03-04", 1, 4_000),
    ]
    assert (usage["first_day"], usage["last_day"]) == ("2026-03-01", "2026-03-31")
    assert (usage["captured_millicredits"], usage["captured_credits"]) == (7_500, "7.5")
    assert usage["items"][1]["captured_credits"] == "2.5"


async def test_by_model_and_by_key_the_most_first(spender: Caller) -> None:
    by_model = (await spender.get(USAGE, group_by="model", **MARCH)).json()
    assert groups(by_model) == [("photo", 1, 4_000), ("demo", 2, 3_500)]
    by_key = (await spender.get(USAGE, group_by="key", **MARCH)).json()
    assert groups(by_key) == [(str(KEY), 2, 6_500), (None, 1, 1_000)]


async def test_both_days_are_included(spender: Caller) -> None:
    days = {"from": "2026-03-02", "to": "2026-03-02"}
    assert groups((await spender.get(USAGE, **days)).json()) == [("2026-03-02", 1, 2_500)]


async def test_without_days_the_last_thirty_are_shown(ada: Caller, sessions: SessionsOf) -> None:
    now = utc_now()
    await give(sessions, ada, 10_000, None, now=now - timedelta(days=40))
    for days in (31, 5, 0):
        await spend(sessions, ada, 1_000, now - timedelta(days=days))
    usage = (await ada.get(USAGE)).json()
    shown = [f"{now - timedelta(days=days):%Y-%m-%d}" for days in (5, 0)]
    assert [item["group"] for item in usage["items"]] == shown
    assert usage["last_day"] == f"{now:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"group_by": "colour"}, "query.group_by"),
        ({"from": "yesterday"}, "query.from"),
        ({"from": "2026-02-30"}, "query.from"),
        ({"to": "2026-13-01"}, "query.to"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "query.from"),
        ({"from": "2025-01-01", "to": "2026-03-01"}, "query.from"),
        ({"from": "0001-01-01"}, "query.from"),
        ({"to": "9999-12-31"}, "query.to"),
        ({"to": "0001-01-01"}, "query.to"),
    ],
)
async def test_bad_days_are_named(ada: Caller, query: dict[str, str], field: str) -> None:
    assert named_fields(await ada.get(USAGE, **query)) == [field]


async def test_other_peoples_spending_is_not_seen(spender: Caller, eve: Caller) -> None:
    assert (await eve.get(USAGE, **MARCH)).json()["items"] == []
    assert problem_of(await eve.api.get(USAGE)) == (401, "unauthorized")
