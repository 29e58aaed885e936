"""Caps that customers set for themselves."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.credits.caps import SpendCapReached
from tests.services.callers import Caller, named_fields, problem_of
from tests.services.payment.ledger_moves import SessionsOf, give, hold

CAPS = "/api/v1/credits/spend-caps"
KEY = str(uuid4())


def cap(period: str, limit: int | None, key_id: str | None = None) -> dict[str, Any]:
    return {"key_id": key_id, "period": period, "limit_millicredits": limit}


def shown(answer: Any) -> list[tuple[str | None, str, str]]:
    return [
        (item["key_id"], item["period"], item["limit_credits"]) for item in answer.json()["items"]
    ]


async def test_caps_are_set_changed_and_lifted(ada: Caller) -> None:
    assert (await ada.get(CAPS)).json() == {"items": []}
    await ada.put(CAPS, cap("total", 9_000, KEY))
    await ada.put(CAPS, cap("day", 1_000, KEY))
    await ada.put(CAPS, cap("month", 5_500))
    answer = await ada.put(CAPS, cap("day", 0))
    assert answer.status_code == 200
    caps = [(None, "day", "0"), (None, "month", "5.5"), (KEY, "day", "1"), (KEY, "total", "9")]
    assert shown(answer) == shown(await ada.get(CAPS)) == caps
    await ada.put(CAPS, cap("day", 2_000))
    lifted = await ada.put(CAPS, cap("total", None, KEY))
    assert shown(lifted) == [(None, "day", "2"), (None, "month", "5.5"), (KEY, "day", "1")]
    assert shown(await ada.put(CAPS, cap("total", None, KEY))) == shown(lifted)


async def test_a_cap_refuses_the_next_hold_and_is_free_again_when_lifted(
    ada: Caller, sessions: SessionsOf
) -> None:
    await give(sessions, ada, 10_000, None)
    await ada.put(CAPS, cap("day", 1_500))
    await hold(sessions, ada, 1_000)
    with pytest.raises(SpendCapReached):
        await hold(sessions, ada, 1_000)
    await ada.put(CAPS, cap("day", None))
    await hold(sessions, ada, 1_000)


async def test_who_set_a_cap_is_kept_in_the_audit_log(ada: Caller, sessions: SessionsOf) -> None:
    await ada.put(CAPS, cap("day", 1_000, KEY))
    query = text(
        "SELECT actor, action, subject, details ->> 'limit_millicredits' FROM ops.audit_log"
    )
    async with sessions("admin")() as session:
        (line,) = (await session.execute(query)).all()
    assert tuple(line) == (f"user:{ada.id}", "spend-cap.set", f"key:{KEY}", "1000")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (cap("week", 1), "body.period"),
        (cap("day", -1), "body.limit_millicredits"),
        (cap("day", 1_000_000_001), "body.limit_millicredits"),
        ({"period": "day", "limit_millicredits": 1.5}, "body.limit_millicredits"),
        ({"period": "day"}, "body.limit_millicredits"),
        (cap("day", 1, "mine"), "body.key_id"),
        ({**cap("day", 1), "colour": "red"}, "body.colour"),
        (cap("total", 1), "body"),
    ],
)
async def test_a_bad_cap_is_named(ada: Caller, change: dict[str, Any], field: str) -> None:
    assert named_fields(await ada.put(CAPS, change)) == [field]
    assert (await ada.get(CAPS)).json() == {"items": []}


async def test_other_peoples_caps_are_not_seen_nor_lifted(ada: Caller, eve: Caller) -> None:
    await ada.put(CAPS, cap("day", 1_000, KEY))
    assert (await eve.get(CAPS)).json() == {"items": []}
    await eve.put(CAPS, cap("day", None, KEY))
    assert shown(await ada.get(CAPS)) == [(KEY, "day", "1")]
    for answer in (await ada.api.get(CAPS), await ada.api.put(CAPS, json=cap("day", 1))):
        assert problem_of(answer) == (401, "unauthorized")
