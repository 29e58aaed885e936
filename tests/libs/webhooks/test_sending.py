"""What is due goes out to real servers: signed, at least once, none in another's way."""

import asyncio
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import text

from libs.webhooks.claims import (
    AT_ONCE,
    KEPT_DAYS,
    KEPT_TRIES,
    LEASE,
    claim_due,
    mark_delivered,
    mark_failed,
)
from libs.webhooks.sending import forget_old_deliveries, send_due
from tests.libs.webhooks.post_office import NOON, PostOffice
from tests.libs.webhooks.receiver import Received, answer, receiver, say_ok


async def test_a_message_arrives_signed_and_is_logged(office: PostOffice) -> None:
    user = uuid4()
    async with receiver() as side:
        _, secret = await office.endpoint(user, side.url)
        message = office.message(generation_id="1")
        await office.tell(user, message)
        assert await office.send() == 1
    (got,) = side.received
    assert got.is_signed_by(secret)
    assert got.headers["content-type"] == "application/json"
    assert (got.message_id, got.headers["webhook-timestamp"]) == (
        str(message.id),
        str(int(NOON.timestamp())),
    )
    assert got.document == {
        "type": "generation.succeeded",
        "timestamp": "2026-03-01T12:00:00Z",
        "data": {"generation_id": "1"},
    }
    (row,) = await office.deliveries()
    assert (row.state, row.attempt, row.finished_at) == ("delivered", 1, NOON)
    (entry,) = row.log
    assert (entry["status"], entry["answer"], entry["error"]) == (200, "thanks", None)
    assert await office.send() == 0


async def test_a_rotated_secret_signs_beside_the_new_one_until_it_expires(
    office: PostOffice,
) -> None:
    user = uuid4()
    async with receiver() as side:
        endpoint, first = await office.endpoint(user, side.url)
        async with office.admin.begin() as session:
            end = text("UPDATE webhooks.secrets SET expires_at = :at")
            await session.execute(end, {"at": office.now + timedelta(hours=24)})
        second = await office.secret(user, endpoint)
        for hours in (0, 23, 2):
            office.later(hours=hours)
            await office.tell(user, office.message())
            await office.send()
    signers = [(got.is_signed_by(first), got.is_signed_by(second)) for got in side.received]
    assert signers == [(True, True), (True, True), (False, True)]
    await forget_old_deliveries(office.post)
    async with office.admin() as session:
        assert (await session.scalars(text("SELECT secret FROM webhooks.secrets"))).all() == [
            second
        ]


async def test_a_sender_that_dies_leaves_its_delivery_to_the_next(office: PostOffice) -> None:
    user, never = uuid4(), asyncio.Event()

    async def hang(_got: Received) -> bytes:
        await never.wait()
        return b""

    async with receiver(hang) as side:
        await office.endpoint(user, side.url)
        await office.tell(user, office.message())
        await send_due(office.post, office.wake)
        await side.wait_for(1)
        for task in office.post.tasks:
            task.cancel()
        await asyncio.gather(*office.post.tasks, return_exceptions=True)
        assert await office.send() == 0  # the lease is kept
        office.later(seconds=LEASE.total_seconds() + 1)
        side.reply = say_ok
        assert await office.send() == 1
    assert len({got.message_id for got in side.received}) == 1
    (row,) = await office.deliveries()
    assert (row.state, row.attempt, len(side.received)) == ("delivered", 2, 2)


async def test_a_slow_endpoint_keeps_up_nobody_else(office: PostOffice) -> None:
    slow_user, quick_user, go = uuid4(), uuid4(), asyncio.Event()

    async def slow(_got: Received) -> bytes:
        await go.wait()
        return answer(200)

    async with receiver(slow) as slow_side, receiver() as quick_side:
        await office.endpoint(slow_user, slow_side.url)
        await office.endpoint(quick_user, quick_side.url)
        for _ in range(10):
            await office.tell(slow_user, office.message())
        await office.tell(quick_user, office.message())
        assert await send_due(office.post, office.wake) == AT_ONCE + 1
        await quick_side.wait_for(1)
        await slow_side.wait_for(AT_ONCE)
        assert await send_due(office.post, office.wake) == 0
        go.set()
        await asyncio.gather(*office.post.tasks)
        while await office.send():
            pass
    assert (len(slow_side.received), slow_side.busiest) == (10, AT_ONCE)
    assert {row.state for row in await office.deliveries()} == {"delivered"}


async def test_an_end_wakes_the_next_round(office: PostOffice) -> None:
    user = uuid4()
    async with receiver() as side:
        await office.endpoint(user, side.url)
        await office.tell(user, office.message())
        office.wake.clear()
        await office.send()
        await asyncio.wait_for(office.wake.wait(), 1)


async def test_no_more_are_under_way_than_there_is_room_for(office: PostOffice) -> None:
    full = PostOffice(office.sessions, max_under_way=2)
    async with receiver() as side:
        for _ in range(5):
            user = uuid4()
            await full.endpoint(user, side.url)
            await full.tell(user, full.message())
        assert [await full.send() for _ in range(4)] == [2, 2, 1, 0]
    assert side.busiest <= 2
    await full.client.close()


async def test_two_senders_send_each_message_once(office: PostOffice) -> None:
    other = PostOffice(office.sessions)
    async with receiver() as side:
        for _ in range(8):
            user = uuid4()
            await office.endpoint(user, side.url)
            await office.tell(user, office.message())
        await asyncio.gather(office.send(), other.send())
        await office.send()
    assert len({got.message_id for got in side.received}) == len(side.received) == 8
    await other.client.close()


async def test_the_log_keeps_the_newest_tries_and_a_readable_answer(office: PostOffice) -> None:
    user = uuid4()

    async def refuse(_got: Received) -> bytes:
        return answer(500, b"no\0\x1b[2J\xff" + b"x" * 5_000)

    async with receiver(refuse) as side:
        await office.endpoint(user, side.url)
        await office.tell(user, office.message())
        for _ in range(KEPT_TRIES + 3):
            again = (
                "UPDATE webhooks.deliveries SET state = 'pending', finished_at = NULL, tries = 0"
            )
            async with office.admin.begin() as session:
                await session.execute(text(again))
            office.later(hours=1)
            assert await office.send() == 1
    (row,) = await office.deliveries()
    assert [entry["attempt"] for entry in row.log] == list(range(4, KEPT_TRIES + 4))
    said = row.log[0]["answer"]
    assert said.startswith("no\ufffd\ufffd[2J\ufffdxxx") and len(said.encode()) <= 1024 + 6


async def test_what_ended_a_month_ago_is_forgotten(office: PostOffice) -> None:
    user = uuid4()
    async with receiver() as side:
        await office.endpoint(user, side.url)
        await office.tell(user, office.message())
        await office.send()
    office.later(days=KEPT_DAYS.days - 1)
    await office.tell(user, office.message())  # this one waits
    await forget_old_deliveries(office.post)
    assert len(await office.deliveries()) == 2
    office.later(days=40)
    await forget_old_deliveries(office.post)
    assert [row.state for row in await office.deliveries()] == ["pending"]


async def test_a_try_that_was_given_up_for_dead_marks_nothing(office: PostOffice) -> None:
    user = uuid4()
    await office.endpoint(user, "http://127.0.0.1:9/hook")
    await office.tell(user, office.message())
    async with office.post.sessions.begin() as session:
        (stale,) = await claim_due(session, office.now, 10)
    office.later(seconds=LEASE.total_seconds() + 1)
    async with office.post.sessions.begin() as session:
        (newest,) = await claim_due(session, office.now, 10)
    assert (stale.attempt, newest.attempt) == (1, 2)
    before = await office.deliveries()
    async with office.post.sessions.begin() as session:
        await mark_failed(session, stale, {}, office.now, office.now)
        await mark_delivered(session, stale, {}, office.now)
    assert await office.deliveries() == before
    async with office.post.sessions.begin() as session:
        await mark_delivered(session, newest, {}, office.now)
    assert [row.state for row in await office.deliveries()] == ["delivered"]
