"""Uploads by who wants to do harm: many at once, and a deletion in the middle."""

import asyncio
import os
import tracemalloc
from collections.abc import Callable

import pytest
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.storage.objects import ObjectStore
from services.gallery.service.uploads import clear_abandoned
from tests.services.callers import Caller, problem_of
from tests.services.gallery.pictures import picture, png_of
from tests.services.gallery.test_uploads import EXPIRE, begin, complete, send, stored_keys

SessionsOf = Callable[[str], Sessions]
WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def noise(side: int) -> bytes:
    """A PNG that nothing makes smaller: three bytes a pixel."""
    return png_of(side, side, b"".join(b"\0" + os.urandom(3 * side) for _ in range(side)))


async def test_many_requests_hold_few_files(ada: Caller, eve: Caller) -> None:
    """Each file is up to 20 MiB; who waits for the reader has not fetched it yet."""
    data = noise(1200)
    begun = [(caller, await begin(caller, data)) for caller in (ada, ada, eve)]
    for _, one in begun:
        assert (await send(one, data)).status_code == 200
    tracemalloc.start()
    try:
        answers = await asyncio.gather(*(complete(*one) for one in begun * 8))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 3
    assert peak < 12 * len(data)  # two at work, each with what it read and what it got


async def test_an_upload_that_is_erased_while_it_is_read_leaves_nothing(
    ada: Caller, store: ObjectStore, sessions: SessionsOf
) -> None:
    data = picture()
    begun = await begin(ada, data)
    await send(begun, data)
    async with sessions("admin").begin() as erasing:
        await erasing.execute(text("SELECT FROM gallery.uploads FOR UPDATE"))
        completing = asyncio.create_task(complete(ada, begun))
        await until_it_waits(sessions)
        await erasing.execute(text("DELETE FROM gallery.uploads"))
    assert problem_of(await completing) == (404, "upload-not-found")
    assert await stored_keys(store, ada.id) == []


@pytest.mark.parametrize("data", [picture(), b"not a picture"])
async def test_what_is_sent_to_a_url_again_does_not_stay(
    ada: Caller, store: ObjectStore, sessions: SessionsOf, data: bytes
) -> None:
    """The URL lives for fifteen minutes, whatever became of the upload."""
    begun = await begin(ada, data)
    await send(begun, data)
    finished = (await complete(ada, begun)).is_success
    kept = await stored_keys(store, ada.id)
    assert len(kept) == (2 if finished else 0)
    assert (await send(begun, data)).status_code == 200
    assert (await complete(ada, begun)).is_success == finished
    assert (await ada.get("/api/v1/storage")).json()["reserved_bytes"] == 0
    assert len(await stored_keys(store, ada.id)) == len(kept) + 1
    async with sessions("admin").begin() as session:
        await session.execute(EXPIRE, {"ago": "11 minutes"})
    assert await clear_abandoned(sessions("gallery"), store) == 1
    assert await stored_keys(store, ada.id) == kept
    assert await clear_abandoned(sessions("gallery"), store) == 0


async def until_it_waits(sessions: SessionsOf) -> None:
    for _ in range(1000):
        async with sessions("admin")() as session:
            if await session.scalar(WAITING):
                return
        await asyncio.sleep(0.01)
    pytest.fail("nothing waits")
