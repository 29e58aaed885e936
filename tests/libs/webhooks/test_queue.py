"""Deliveries are queued in the transaction that they tell of, for those who listen."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from libs.db.transaction import transaction
from libs.webhooks.messages import Message
from libs.webhooks.queue import queue_messages
from tests.libs.webhooks.post_office import PostOffice, SessionsOf

NOWHERE = "http://127.0.0.1:9/hook"


async def test_nobody_listens_nothing_is_made(office: PostOffice) -> None:
    await office.endpoint(uuid4(), NOWHERE)  # somebody else's

    def never() -> list[Message]:
        raise AssertionError("a message was made for nobody")

    statements: list[str] = []
    engine = office.worker.kw["bind"].sync_engine
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    user = uuid4()
    async with transaction(office.worker, user) as session:
        assert await queue_messages(session, user, never) == 0
    assert len([sql for sql in statements if "webhooks." in sql]) == 1


async def test_each_endpoint_hears_the_types_that_it_asked_for(office: PostOffice) -> None:
    user = uuid4()
    both, _ = await office.endpoint(user, NOWHERE)
    images, _ = await office.endpoint(user, NOWHERE, events=["image.created"])
    end, image = office.message(), office.message("image.created")
    assert await office.tell(user, end, image) == 3
    heard = {(row.endpoint_id, row.type, row.message_id) for row in await office.deliveries()}
    assert heard == {
        (both, "generation.succeeded", end.id),
        (both, "image.created", image.id),
        (images, "image.created", image.id),
    }


async def test_an_endpoint_that_is_named_alone_hears_jobs_that_name_it(office: PostOffice) -> None:
    user = uuid4()
    quiet, _ = await office.endpoint(user, NOWHERE, all_jobs=False)
    assert await office.tell(user, office.message()) == 0
    assert await office.tell(user, office.message(), named=quiet) == 1
    assert await office.tell(user, office.message(), named=uuid4()) == 0


async def test_a_stranger_who_names_an_endpoint_is_not_heard(office: PostOffice) -> None:
    hers, _ = await office.endpoint(uuid4(), NOWHERE, all_jobs=False)
    assert await office.tell(uuid4(), office.message(), named=hers) == 0


async def test_a_disabled_endpoint_hears_nothing(office: PostOffice) -> None:
    user = uuid4()
    await office.endpoint(user, NOWHERE)
    off = "UPDATE webhooks.endpoints SET disabled_at = now(), disabled_reason = 'owner'"
    async with office.admin.begin() as session:
        await session.execute(text(off))
    assert await office.tell(user, office.message()) == 0


async def test_what_rolls_back_is_not_told(office: PostOffice) -> None:
    user = uuid4()
    await office.endpoint(user, NOWHERE)
    with pytest.raises(LookupError):
        async with transaction(office.worker, user) as session:
            assert await queue_messages(session, user, lambda: [office.message()]) == 1
            raise LookupError
    assert await office.deliveries() == []


@pytest.mark.parametrize("role", ["generation", "worker"])
async def test_nobody_but_the_relay_reads_a_secret(
    office: PostOffice, sessions: SessionsOf, role: str
) -> None:
    user = uuid4()
    await office.endpoint(user, NOWHERE)
    with pytest.raises(DBAPIError, match="permission denied"):
        async with transaction(sessions(role), user) as session:
            await session.execute(text("SELECT secret FROM webhooks.secrets"))
    async with sessions("relay")() as session:
        assert len((await session.scalars(text("SELECT secret FROM webhooks.secrets"))).all()) == 1


async def test_an_endpoint_that_is_deleted_meanwhile_fails_no_end(
    office: PostOffice, sessions: SessionsOf
) -> None:
    user = uuid4()
    endpoint, _ = await office.endpoint(user, NOWHERE)

    async def delete() -> None:
        async with transaction(sessions("generation"), user) as session:
            gone = text("DELETE FROM webhooks.endpoints WHERE id = :id")
            await session.execute(gone, {"id": endpoint})

    unheard = office.message("webhook.test")  # what is inserted would hold the endpoint by itself
    async with transaction(office.worker, user) as session:
        assert await queue_messages(session, user, lambda: [unheard]) == 0
        deleting = asyncio.create_task(delete())
        await asyncio.wait({deleting}, timeout=0.3)
        assert not deleting.done()  # it waits for the end that is being told
    await deleting
    assert await office.endpoints() == []
