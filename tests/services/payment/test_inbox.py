"""Applying what the inbox keeps: once, whatever happens, and what is stuck until somebody helps."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from libs.db.engine import Sessions
from libs.testkit.lemon_squeezy.books import Event, new_books
from libs.testkit.lemon_squeezy.changes import cancel
from services.payment import inbox
from services.payment.inbox_problems import InboxEntryNotFound, InboxEntryNotStuck
from services.payment.inbox_worker import MAX_ATTEMPTS, apply_next, apply_pending, measure_inbox
from services.payment.problems import UserNotFound
from tests.services.payment.lives import at
from tests.services.payment.till import PRO, SMALL_PACK, Till, open_till


@pytest.fixture
async def till(sessions: Callable[[str], Sessions]) -> Till:
    return await open_till(sessions)


def rewritten(event: Event, **attributes: Any) -> bytes:
    """An event with other attributes."""
    document = json.loads(event.body)
    document["data"]["attributes"] |= attributes
    return json.dumps(document).encode()


def without_custom_data(event: Event) -> bytes:
    """An event of a checkout that was not ours."""
    document = json.loads(event.body)
    del document["meta"]["custom_data"]
    return json.dumps(document).encode()


async def entry_ids(till: Till) -> list[Any]:
    return [row[0] for row in await till.rows("SELECT id FROM billing.inbox ORDER BY id")]


async def test_what_was_applied_is_not_applied_again(till: Till) -> None:
    till.buy(SMALL_PACK)
    events = till.told()
    await till.apply(*events, *events, *events)
    assert await till.inbox() == [("order_created", "applied", None)]
    assert (await till.credits())["top_up"] == 1_000


async def test_events_that_nobody_handles_are_kept_and_ignored(till: Till) -> None:
    till.buy(SMALL_PACK)
    document = json.loads(till.told()[0].body)
    document["meta"]["event_name"] = "license_key_created"
    await till.receive([json.dumps(document).encode()])
    await apply_pending(till.desk)
    assert await till.inbox() == [("license_key_created", "ignored", None)]


async def test_two_workers_share_the_work(till: Till) -> None:
    for _ in range(6):
        till.buy(SMALL_PACK)
    await till.receive(event.body for event in till.told())
    await asyncio.gather(*(apply_pending(till.desk) for _ in range(4)))
    assert {state for _, state, _ in await till.inbox()} == {"applied"}
    assert (await till.credits())["top_up"] == 6_000


async def test_what_names_nobody_waits_for_an_admin(till: Till) -> None:
    till.buy(SMALL_PACK)
    await till.receive([without_custom_data(till.told()[0])])
    await apply_pending(till.desk)
    problem = "unknown-user: the event names no user"
    assert await till.inbox() == [("order_created", "stuck", problem)]
    assert "top_up" not in await till.credits()

    (entry_id,) = await entry_ids(till)
    async with till.billing.begin() as session:
        await inbox.assign_user(session, entry_id, till.user_id, till.clock(), actor="admin:1")
    await apply_pending(till.desk)
    assert await till.inbox() == [("order_created", "applied", None)]
    assert (await till.credits())["top_up"] == 1_000
    audit = "SELECT actor, action, subject FROM ops.audit_log"
    assert await till.rows(audit) == [("admin:1", "webhook.assigned", f"inbox:{entry_id}")]


async def test_whom_the_admin_named_is_remembered_for_the_subscription(till: Till) -> None:
    made = till.buy(PRO, skip_trial=True).subscription
    assert made is not None
    created = next(event for event in till.told() if event.name == "subscription_created")
    await till.receive([without_custom_data(created)])
    await apply_pending(till.desk)
    async with till.billing.begin() as session:
        (entry_id,) = await entry_ids(till)
        await inbox.assign_user(session, entry_id, till.user_id, till.clock(), actor="admin:1")
    await apply_pending(till.desk)
    cancel(till.books, made.id)
    await till.receive(without_custom_data(event) for event in till.told())
    await apply_pending(till.desk)
    assert {state for _, state, _ in await till.inbox()} == {"applied"}
    assert await till.rows("SELECT status FROM billing.subscriptions") == [("cancelled",)]


async def test_who_has_no_account_is_nobody_until_the_account_is_there(
    sessions: Callable[[str], Sessions],
) -> None:
    till = Till(sessions("user"), sessions("generation"), sessions("billing"), sessions("admin"))
    till.buy(SMALL_PACK)
    await till.settle()
    ((_, state, problem),) = await till.inbox()
    assert (state, problem) == ("stuck", f"unknown-user: {till.user_id} has no account")
    await till.sign_up()
    (entry_id,) = await entry_ids(till)
    async with till.billing.begin() as session:
        await inbox.retry(session, entry_id, till.clock(), actor="admin:1")
    await apply_pending(till.desk)
    assert (await till.credits())["top_up"] == 1_000


async def test_a_payment_before_its_subscription_waits_until_that_is_known(till: Till) -> None:
    till.buy(PRO, skip_trial=True)
    told = {event.name: event for event in till.told()}
    await till.receive([without_custom_data(told["subscription_payment_success"])])
    await apply_pending(till.desk)
    assert [state for _, state, _ in await till.inbox()] == ["stuck"]
    await till.apply(told["subscription_created"])
    assert [state for _, state, _ in await till.inbox()] == ["applied", "applied"]
    assert await till.letters() == {"receipt"}


async def test_what_we_do_not_sell_waits_until_it_is_mended(till: Till) -> None:
    till.buy(SMALL_PACK)
    (event,) = till.told()
    document = json.loads(event.body)
    document["data"]["attributes"]["first_order_item"]["variant_id"] = 9_999
    await till.receive([json.dumps(document).encode()])
    await apply_pending(till.desk)
    problem = "unknown-variant: variant 9999 is no offer"
    assert await till.inbox() == [("order_created", "stuck", problem)]


@pytest.mark.parametrize("pack", [2001, 2002])
async def test_a_subscription_to_a_pack_is_none(till: Till, pack: int) -> None:
    till.buy(PRO)
    created = next(event for event in till.told() if event.name == "subscription_created")
    await till.receive([rewritten(created, variant_id=pack)])
    await apply_pending(till.desk)
    ((_, state, problem),) = await till.inbox()
    assert (state, problem) == ("stuck", f"unknown-variant: variant {pack} is no plan")


async def test_what_lacks_a_member_says_which(till: Till) -> None:
    till.buy(PRO)
    created = next(event for event in till.told() if event.name == "subscription_created")
    await till.receive([rewritten(created, status="sleeping", updated_at="yesterday")])
    await apply_pending(till.desk)
    problem = "unreadable: attributes.status, attributes.updated_at"
    assert await till.inbox() == [("subscription_created", "stuck", problem)]
    assert await till.rows("SELECT * FROM billing.observations") == []


async def test_the_unexpected_is_tried_again_less_and_less_often_and_then_given_up(
    till: Till,
) -> None:
    """NUL is valid in JSON, and no text in PostgreSQL: what follows is a defect, not a stop."""
    till.buy(SMALL_PACK)
    (event,) = till.told()
    await till.receive([rewritten(event, user_email="ada\u0000@example.com")])
    waits = []
    for _ in range(MAX_ATTEMPTS - 1):
        now = till.clock()
        assert await apply_next(till.desk)
        ((attempts, next_try_at),) = await till.rows(
            "SELECT attempts, next_try_at FROM billing.inbox"
        )
        waits.append((next_try_at - now).total_seconds())
        assert attempts == len(waits)
        assert not await apply_next(till.desk)  # not due
        till.now = next_try_at
    assert waits == [1, 4, 16, 64, 256, 1_024]
    assert await apply_next(till.desk)
    ((_, state, problem),) = await till.inbox()
    assert (state, problem) == ("stuck", "failed: DBAPIError")
    assert "top_up" not in await till.credits()


async def test_what_fails_blocks_nothing_behind_it(till: Till) -> None:
    till.buy(SMALL_PACK)
    till.buy(SMALL_PACK)
    first, second = till.told()
    await till.receive([rewritten(first, user_email="\u0000"), second.body])
    await apply_pending(till.desk)
    assert (await till.credits())["top_up"] == 1_000


async def test_only_what_is_stuck_is_retried(till: Till) -> None:
    till.buy(SMALL_PACK)
    await till.settle()
    (entry_id,) = await entry_ids(till)
    async with till.billing.begin() as session:
        with pytest.raises(InboxEntryNotStuck, match="applied"):
            await inbox.retry(session, entry_id, till.clock(), actor="admin:1")
        with pytest.raises(InboxEntryNotFound):
            await inbox.retry(session, uuid4(), till.clock(), actor="admin:1")


async def test_nobody_is_assigned_who_is_not_there(till: Till) -> None:
    till.buy(SMALL_PACK)
    await till.receive([without_custom_data(till.told()[0])])
    await apply_pending(till.desk)
    (entry_id,) = await entry_ids(till)
    async with till.billing.begin() as session:
        with pytest.raises(UserNotFound):
            await inbox.assign_user(session, entry_id, uuid4(), till.clock(), actor="admin:1")


def gauge(name: str) -> float | None:
    return REGISTRY.get_sample_value(name)


async def test_the_gauges_say_what_waits(till: Till) -> None:
    await measure_inbox(till.desk)
    assert gauge("easel_webhooks_stuck") == gauge("easel_webhooks_oldest_pending_seconds") == 0
    till.buy(SMALL_PACK)
    till.buy(SMALL_PACK)
    first, second = till.told()
    await till.receive([without_custom_data(first)])
    await apply_pending(till.desk)
    await till.receive([second.body])
    till.now = till.clock() + timedelta(seconds=90)
    await measure_inbox(till.desk)
    assert gauge("easel_webhooks_stuck") == 1
    assert gauge("easel_webhooks_oldest_pending_seconds") == 90


async def test_a_customer_is_known_by_what_was_bought_before(till: Till) -> None:
    till.buy(SMALL_PACK)
    await till.settle()
    till.buy(SMALL_PACK)
    await till.receive([without_custom_data(till.told()[0])])
    await apply_pending(till.desk)
    assert (await till.credits())["top_up"] == 2_000


async def test_another_customers_events_change_nobody_elses_credits(
    till: Till, sessions: Callable[[str], Sessions]
) -> None:
    other = await open_till(sessions, books=new_books(at("2027-01-31 10:00"), seed="other"))
    till.buy(SMALL_PACK)
    other.buy(PRO, skip_trial=True)
    await till.settle()
    await other.settle()
    assert (await till.tier(), await other.tier()) == ("free", "pro")
    assert (await till.credits(), await other.credits()) == (
        {"free": 500, "top_up": 1_000},
        {"free": 500, "plan": 15_000},
    )
