"""Servers that fail: tried again for a day, given up after days, never a way into our network."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.web.outgoing import OutgoingClient, OutgoingPolicy, UrlNotAllowed
from libs.webhooks.addresses import require_webhook_url, webhook_policy
from libs.webhooks.schedule import GIVEN_UP_AFTER, MAX_TRIES, RESTS
from libs.webhooks.sending import Post
from tests.libs.web.far_side import NameServer
from tests.libs.webhooks.post_office import ADDRESS, PostOffice, address_of
from tests.libs.webhooks.receiver import Received, answer, receiver, say_ok

NOWHERE = "http://127.0.0.1:9/hook"


async def waiting(office: PostOffice, url: str = NOWHERE) -> tuple[UUID, UUID]:
    """A user and the endpoint to which one message waits."""
    user = uuid4()
    endpoint, _ = await office.endpoint(user, url)
    await office.tell(user, office.message())
    return user, endpoint


async def test_a_server_that_is_away_is_tried_for_a_day_and_then_no_more(
    office: PostOffice,
) -> None:
    await waiting(office)
    for rest in RESTS:
        assert await office.send() == 1
        (row,) = await office.deliveries()
        assert (row.state, row.next_try_at) == ("pending", office.now + rest)
        assert row.log[-1]["status"] is None and "connection failed" in row.log[-1]["error"]
        office.now = row.next_try_at - timedelta(seconds=1)
        assert await office.send() == 0
        office.later(seconds=1)
    assert await office.send() == 1
    (row,) = await office.deliveries()
    assert (row.state, row.tries, row.finished_at) == ("failed", MAX_TRIES, office.now)
    office.later(days=1)
    assert await office.send() == 0


@pytest.mark.parametrize("status", [301, 400, 404, 500, 503])
async def test_any_other_answer_than_2xx_is_a_failure(office: PostOffice, status: int) -> None:
    async def reply(_got: Received) -> bytes:
        return answer(status, Location="http://127.0.0.1:9/elsewhere")

    async with receiver(reply) as side:
        await waiting(office, side.url)
        await office.send()
    (row,) = await office.deliveries()
    assert (row.state, row.log[0]["status"]) == ("pending", status)
    assert len(side.received) == 1


async def test_a_retry_after_is_waited_for(office: PostOffice) -> None:
    async def later(_got: Received) -> bytes:
        return answer(429, Retry_After="3600")

    async with receiver(later) as side:
        await waiting(office, side.url)
        await office.send()
    (row,) = await office.deliveries()
    assert row.next_try_at == office.now + timedelta(hours=1)


async def test_while_it_fails_an_endpoint_is_asked_one_at_a_time(office: PostOffice) -> None:
    user, _ = await waiting(office)
    await office.send()
    for _ in range(5):
        await office.tell(user, office.message())
    assert await office.send() == 1
    async with receiver() as side:
        async with office.admin.begin() as session:
            await session.execute(text("UPDATE webhooks.endpoints SET url = :u"), {"u": side.url})
        office.later(minutes=1)
        assert await office.send() == 1
        assert await office.send() == 3  # it works again
    (endpoint,) = await office.endpoints()
    assert endpoint.failing_since is None


async def test_gone_switches_off_and_tells_by_e_mail(office: PostOffice) -> None:
    async def gone(_got: Received) -> bytes:
        return answer(410)

    async with receiver(gone) as side:
        user, _ = await waiting(office, side.url)
        await office.tell(user, office.message())
        await office.send()
    (endpoint,) = await office.endpoints()
    assert (endpoint.disabled_at, endpoint.disabled_reason) == (office.now, "gone")
    assert {row.state for row in await office.deliveries()} == {"failed"}
    (told,) = await office.letters()
    assert (told.user_id, told.recipient) == (user, ADDRESS)
    assert side.url in told.text and "410" in told.text
    office.later(days=2)
    assert await office.send() == 0
    assert await office.tell(user, office.message()) == 0


async def test_days_of_failure_switch_off_but_one_success_begins_anew(office: PostOffice) -> None:
    user, _ = await waiting(office)
    await office.send()
    office.later(days=GIVEN_UP_AFTER.days - 1)
    async with receiver() as side:
        works, _ = await office.endpoint(user, side.url)
        side.reply = fail_once = Flaky()
        await office.tell(user, office.message())
        await office.send()
        office.later(seconds=31)
        await office.send()
        assert fail_once.asked == 2
        office.later(days=2)
        await office.tell(user, office.message())
        side.reply = Flaky()
        await office.send()
    by_id = {row.id: row for row in await office.endpoints()}
    assert by_id[works].disabled_at is None and by_id[works].failing_since == office.now
    (failing,) = [row for row in by_id.values() if row.id != works]
    assert failing.disabled_reason == "failing"
    (told,) = await office.letters()
    assert f"{GIVEN_UP_AFTER.days} days" in told.text


class Flaky:
    """Fails the first time."""

    asked = 0

    async def __call__(self, got: Received) -> bytes:
        self.asked += 1
        return answer(500) if self.asked == 1 else await say_ok(got)


PRIVATE = (
    "https://127.0.0.1/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "http://93.184.215.14/",
    "https://93.184.215.14:22/",
    "https://user:secret@93.184.215.14/",
    "ftp://93.184.215.14/",
    "nonsense",
)


@pytest.mark.parametrize("url", PRIVATE)
async def test_a_url_that_leads_inside_is_refused_by_its_field(url: str) -> None:
    with pytest.raises(UrlNotAllowed) as refused:
        await require_webhook_url(url, webhook_policy(allow_private=False))
    assert [error["field"] for error in refused.value.extra["errors"]] == ["body.url"]


async def test_a_name_that_leads_inside_is_refused() -> None:
    policy, url = webhook_policy(allow_private=False), "https://hooks.example.com/"
    with pytest.raises(UrlNotAllowed):
        await require_webhook_url(url, policy, resolve=NameServer(["93.184.215.14", "10.0.0.1"]))
    await require_webhook_url(url, policy, resolve=NameServer(["93.184.215.14"]))
    await require_webhook_url(url, policy, resolve=NameServer([]))  # not known yet


async def test_a_name_that_leads_inside_later_is_not_called(office: PostOffice) -> None:
    """The name was public when the endpoint was made: it is judged again at each try."""
    async with receiver() as side:
        policy = OutgoingPolicy(schemes=("http",), ports=(side.port,))
        client = OutgoingClient(policy, resolve=NameServer([side.url.split("/")[2].split(":")[0]]))
        office.post = Post(
            office.post.sessions, client, address_of, office.post.clock, office.post.chance
        )
        await waiting(office, f"http://hooks.example.com:{side.port}/hook")
        await office.send()
        await client.close()
    assert side.received == []
    (row,) = await office.deliveries()
    assert row.state == "pending" and "not public" in row.log[0]["error"]
