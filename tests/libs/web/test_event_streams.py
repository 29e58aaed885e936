"""Streams end with the login, have few places, and do not wait for who does not read."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import pytest
import uvicorn

from libs.kernel.problems import ServiceUnavailable, Unauthorized
from libs.web.event_streams import (
    ALIVE,
    EventStream,
    OpenStreams,
    TooManyStreams,
    format_event,
    while_welcome,
)
from libs.web.server import UNREAD_MILLISECONDS, listen

ADA, EVE = uuid4(), uuid4()


async def alive(closed: list[str], times: int = 5) -> AsyncGenerator[str, None]:
    """A source that tells when it is let go."""
    try:
        for _ in range(times):
            yield ALIVE
    finally:
        closed.append("closed")


async def welcome() -> None:
    return


async def unwelcome() -> None:
    raise Unauthorized()


async def away() -> None:
    raise OSError


def test_an_event_is_written_as_the_standard_says() -> None:
    text = format_event("progress", {"step": 1, "note": "a\nb"}, "1-0")
    assert text == 'id: 1-0\nevent: progress\ndata: {"step":1,"note":"a\\nb"}\n\n'


async def test_a_stream_says_first_when_to_come_back() -> None:
    chunks = [chunk async for chunk in while_welcome(alive([]), welcome, check_seconds=0)]
    assert chunks == ["retry: 2000\n\n", *[ALIVE] * 5]


async def test_who_is_not_welcome_any_more_is_told_and_nothing_else() -> None:
    closed: list[str] = []
    chunks = [chunk async for chunk in while_welcome(alive(closed), unwelcome, check_seconds=0)]
    assert chunks[1:] == ['event: closed\ndata: {"reason":"unauthorized"}\n\n']
    assert closed == ["closed"]


async def test_a_part_that_is_away_is_borne_for_a_while() -> None:
    chunks = [chunk async for chunk in while_welcome(alive([]), away, check_seconds=0)]
    assert chunks[1:] == [ALIVE] * 5
    impatient = while_welcome(alive([]), away, check_seconds=0, bear_seconds=0)
    chunks = [chunk async for chunk in impatient]
    assert chunks[1:] == ['event: closed\ndata: {"reason":"service-unavailable"}\n\n']


async def test_between_checks_nobody_is_asked() -> None:
    chunks = [chunk async for chunk in while_welcome(alive([]), unwelcome, check_seconds=60)]
    assert chunks[1:] == [ALIVE] * 5


def test_a_user_has_so_many_places_and_gets_them_back() -> None:
    places = OpenStreams(of_user=2, of_all=3)
    with places.place(ADA), places.place(ADA):
        with pytest.raises(TooManyStreams) as refused:
            places.require_place(ADA)
        assert (refused.value.extra["limit"], refused.value.extra["used"]) == (2, 2)
        with places.place(EVE), pytest.raises(ServiceUnavailable):
            places.require_place(uuid4())
    assert places.by_user == {}
    places.require_place(ADA)


async def test_who_reads_nothing_is_cut_off_and_lets_go_of_all() -> None:
    places, closed, sent = OpenStreams(), list[str](), list[Any]()
    answer = EventStream(alive(closed, 10**6), places, ADA, write_seconds=0.05)

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > 3:
            await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    await asyncio.wait_for(answer(scope, receive, send), 5)
    assert len(sent) == 4  # the head, two events, and the one that nobody took
    assert (closed, places.by_user) == (["closed"], {})


async def test_a_place_is_taken_while_the_answer_lasts() -> None:
    places, held = OpenStreams(of_user=1), list[int]()
    answer = EventStream(alive([], 1), places, ADA)

    async def send(_message: Any) -> None:
        held.append(places.by_user[ADA])

    async def receive() -> Any:
        await asyncio.Event().wait()

    await answer({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    assert set(held) == {1} and not places.by_user


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux alone has it")
def test_connections_end_when_what_was_sent_is_not_taken() -> None:
    """The kernel ends them: an application that waits to send does not see that nobody reads."""
    config = uvicorn.Config("nothing", host="127.0.0.1", port=0)
    with listen(config) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            seen = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert seen == UNREAD_MILLISECONDS
