"""What is due goes out over a real SMTP server: once, in order, however the server behaves."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Row, text

from libs.db.engine import Sessions
from libs.mail.delivery import LEASE, MAX_ATTEMPTS, delay_after, send_due_emails
from libs.mail.queue import queue_email
from libs.mail.sender import Sender, build_sender
from tests.libs.mail.mail_server import MailServer, accept, mail_server

SessionsOf = Callable[[str], Sessions]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Office:
    """The billing worker's side: its sessions, a clock that the test turns, and a server."""

    sessions: SessionsOf
    server: MailServer
    now: datetime = NOON
    pool: Sessions = field(init=False)

    def __post_init__(self) -> None:
        self.pool = self.sessions("billing")

    async def queue(self, *keys: str, to: str = "ada@easel.example", body: str = "Hi\n") -> None:
        async with self.pool.begin() as session:
            for key in keys:
                await queue_email(
                    session, key=key, user_id=None, to=to, subject=key, text=body, now=self.now
                )

    async def send(self, limit: int = 10, sender: Sender | None = None) -> int:
        chosen = sender or build_sender(self.server.settings())
        return await send_due_emails(self.pool, chosen, lambda: self.now, limit)

    async def rows(self) -> list[Row[Any]]:
        async with self.sessions("admin")() as session:
            return list(await session.execute(text("SELECT * FROM ops.emails ORDER BY id")))


@pytest.fixture
async def office(sessions: SessionsOf) -> AsyncIterator[Office]:
    async with mail_server() as server:
        yield Office(sessions, server)


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("easel_emails_total", {"outcome": outcome}) or 0


async def test_an_email_goes_out_once(office: Office) -> None:
    sent = counted("sent")
    await office.queue("receipt:1", body="a line\n.\n.. dots\n")
    assert await office.send() == 1
    assert await office.send() == 0
    (message,) = office.server.messages
    assert office.server.kept[0].mail_from == "mail@easel.example"
    assert office.server.kept[0].rcpt_tos == ["ada@easel.example"]
    assert message["Subject"] == "receipt:1"
    assert message["Date"] == "Sun, 01 Mar 2026 12:00:00 +0000"
    assert message.get_content() == "a line\n.\n.. dots\n"
    (row,) = await office.rows()
    assert (row.state, row.attempts, row.sent_at, row.error) == ("sent", 1, NOON, None)
    assert counted("sent") == sent + 1


async def test_a_secret_is_forgotten_once_it_is_sent(office: Office) -> None:
    async with office.pool.begin() as session:
        for key, holds_secret in (("reset:1", True), ("receipt:1", False)):
            await queue_email(
                session,
                key=key,
                user_id=None,
                to="ada@easel.example",
                subject=key,
                text="token",
                html="<p>token</p>",
                holds_secret=holds_secret,
                now=office.now,
            )

    async def refuse_for_now() -> str:
        return "451 later"

    office.server.answer = refuse_for_now
    await office.send()
    assert [(row.text, row.html) for row in await office.rows()] == [("token", "<p>token</p>")] * 2
    office.server.answer = accept
    office.now += timedelta(hours=1)
    assert await office.send() == 2
    kept = [(row.text, row.html) for row in await office.rows()]
    assert kept == [("", None), ("token", "<p>token</p>")]
    sent = [message.get_body(("plain",)) for message in office.server.messages]
    assert [part and part.get_content().strip() for part in sent] == ["token", "token"]


async def test_the_oldest_goes_first_and_no_more_than_asked_for(office: Office) -> None:
    await office.queue("1", "2", "3")
    assert await office.send(limit=2) == 2
    assert [message["Subject"] for message in office.server.messages] == ["1", "2"]
    assert await office.send(limit=2) == 1


async def test_nothing_goes_out_before_its_time(office: Office) -> None:
    await office.queue("1")
    office.now -= timedelta(seconds=1)
    assert await office.send() == 0


async def test_several_senders_share_the_work(office: Office) -> None:
    keys = [str(number) for number in range(40)]
    await office.queue(*keys)
    assert sum(await asyncio.gather(*(office.send(limit=40) for _ in range(4)))) == 40
    counts = Counter(message["Subject"] for message in office.server.messages)
    assert counts == Counter(keys)


async def test_while_the_server_is_away_the_rest_keeps_its_tries(office: Office) -> None:
    away = build_sender(office.server.settings(smtp_port=9))
    await office.queue("1", "2")
    assert await office.send(sender=away) == 0
    first, second = await office.rows()
    assert (first.state, first.attempts, second.attempts) == ("pending", 1, 0)
    assert first.next_try_at == NOON + timedelta(minutes=1)
    assert "SMTPConnectError" in first.error
    assert await office.send() == 1
    office.now += timedelta(minutes=1)
    assert await office.send() == 1
    assert [message["Subject"] for message in office.server.messages] == ["2", "1"]


async def test_it_is_given_up_after_a_day_of_tries(office: Office) -> None:
    failed, away = counted("failed"), build_sender(office.server.settings(smtp_port=9))
    await office.queue("1")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        (row,) = await office.rows()
        assert (row.state, row.attempts) == ("pending", attempt - 1)
        office.now = row.next_try_at
        await office.send(sender=away)
    (row,) = await office.rows()
    assert (row.state, row.attempts, row.sent_at) == ("failed", MAX_ATTEMPTS, None)
    assert timedelta(days=1) < office.now - NOON < timedelta(days=2)
    assert counted("failed") == failed + 1
    office.now += timedelta(days=30)
    assert await office.send() == 0


def test_the_waits_grow_up_to_six_hours() -> None:
    minutes = [delay_after(attempts) / timedelta(minutes=1) for attempts in range(1, 7)]
    assert minutes == [1, 4, 16, 64, 256, 360]


@pytest.mark.parametrize("answer", ["550 no such box", "452 box is full"])
async def test_a_refused_recipient(office: Office, answer: str) -> None:
    office.server.refused_recipients["gone@easel.example"] = answer
    await office.queue("1", to="gone@easel.example")
    await office.queue("2")
    assert await office.send() + await office.send() == 1
    refused, other = await office.rows()
    assert refused.state == ("failed" if answer.startswith("5") else "pending")
    assert refused.error == answer
    assert other.state == "sent"


async def test_content_that_is_refused_for_good_is_not_sent_again(office: Office) -> None:
    async def refuse() -> str:
        return "554 this is spam"

    office.server.answer = refuse
    await office.queue("1")
    await office.send()
    (row,) = await office.rows()
    assert (row.state, row.attempts, row.error) == ("failed", 1, "554 this is spam")


@pytest.mark.parametrize("to", ["no address", "a@easel.example\nBcc: eve@evil.example"])
async def test_a_bad_address_fails_alone(office: Office, to: str) -> None:
    await office.queue("1", to=to)
    await office.queue("2")
    assert await office.send() == 1
    assert [row.state for row in await office.rows()] == ["failed", "sent"]
    assert [envelope.rcpt_tos for envelope in office.server.kept] == [["ada@easel.example"]]


async def test_nothing_is_open_in_the_database_while_it_is_sent(office: Office) -> None:
    question = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    counts: list[int] = []

    async def look() -> str:
        async with office.sessions("admin")() as session:
            counts.append(await session.scalar(text(question)) or 0)
        return "250 kept"

    office.server.answer = look
    await office.queue("1")
    assert await office.send() == 1
    assert counts == [0]


async def die_while_sending(office: Office) -> None:
    """A process that ends after the server has read the e-mail and before that is written down."""
    received = asyncio.Event()

    async def hang() -> str:
        received.set()
        await asyncio.Event().wait()
        return "250 never said"

    office.server.answer = hang
    sending = asyncio.create_task(office.send())
    await received.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    office.server.answer = accept


async def test_a_sender_that_dies_leaves_its_email_to_the_next(office: Office) -> None:
    await office.queue("1")
    await die_while_sending(office)
    assert await office.send() == 0
    office.now += LEASE
    assert await office.send() == 1
    first, second = office.server.received
    assert first["Message-ID"] == second["Message-ID"]


async def test_an_email_that_ends_every_process_is_given_up(office: Office) -> None:
    await office.queue("1")
    for _ in range(MAX_ATTEMPTS):
        await die_while_sending(office)
        office.now += LEASE
    assert await office.send() == 0
    (row,) = await office.rows()
    assert (row.state, row.error) == ("failed", "10 processes ended while they sent it")
    assert len(office.server.received) == MAX_ATTEMPTS


async def test_how_long_the_oldest_waits_can_be_seen(office: Office) -> None:
    def waited() -> float | None:
        return REGISTRY.get_sample_value("easel_emails_oldest_pending_seconds")

    await office.queue("1")
    await office.send(sender=build_sender(office.server.settings(smtp_port=9)))
    assert waited() == 0
    office.now += timedelta(seconds=30)
    assert await office.send() == 0
    assert waited() == 30, "it waits for its next try"
    office.now += timedelta(seconds=30)
    assert await office.send() == 1
    assert waited() == 0
