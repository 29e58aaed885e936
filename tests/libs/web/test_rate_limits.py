"""Rate limits on a real Redis: exact, atomic, private, and harmless when Redis is away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvloop
from fastapi import APIRouter, FastAPI, Request
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from libs.events.connection import build_redis
from libs.kernel.ids import new_id
from libs.kernel.problems import RateLimited, ServiceUnavailable
from libs.web.application import build_application
from libs.web.rate_limits import Limit, RateLimiter, build_rate_limiter
from libs.web.redis_line import RedisLine

MINUTE = 60_000_000
THREE = Limit("three", 3, 60)
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
async def limiter(redis_url: str, redis: Redis) -> AsyncIterator[RateLimiter]:
    limiter = build_rate_limiter(redis_url)
    yield limiter
    await limiter.close()


async def passes(limiter: RateLimiter, *wanted: tuple[Limit, str]) -> bool:
    try:
        await limiter.take(wanted, when_away="refuse")
    except RateLimited:
        return False
    return True


async def test_a_limit_lets_its_number_through_and_says_when_to_come_back(
    limiter: RateLimiter,
) -> None:
    assert [await passes(limiter, (THREE, "ada")) for _ in range(4)] == [True, True, True, False]
    assert await passes(limiter, (THREE, "eve"))
    with pytest.raises(RateLimited) as refused:
        await limiter.take([(THREE, "ada")], when_away="allow")
    assert 19 <= int(refused.value.headers["Retry-After"]) <= 20  # a third of the minute
    wait = int(refused.value.headers["Retry-After"])
    expected = {"limit": "three", "allowed": 3, "per_seconds": 60, "retry_after_seconds": wait}
    assert refused.value.extra == expected


async def test_several_limits_count_together_or_not_at_all(limiter: RateLimiter) -> None:
    wide = Limit("wide", 4, 3600)
    assert [await passes(limiter, (wide, "ada"), (THREE, "ada")) for _ in range(4)][-1] is False
    # the refused one was not counted as the fourth of the wide limit
    assert [await passes(limiter, (wide, "ada")) for _ in range(2)] == [True, False]
    with pytest.raises(RateLimited) as refused:
        await limiter.take([(THREE, "ada"), (wide, "ada")], when_away="allow")
    assert refused.value.extra["limit"] == "wide"  # the longer wait


async def test_many_at_once_from_several_processes_never_pass_a_limit(
    redis_url: str, redis: Redis
) -> None:
    limiters = [build_rate_limiter(redis_url) for _ in range(5)]
    twenty, plenty = Limit("twenty", 20, 3600), Limit("plenty", 1000, 3600)
    wanted = ((plenty, "ada"), (twenty, "ada"))
    passed = await asyncio.gather(*(passes(limiters[n % 5], *wanted) for n in range(50)))
    assert sum(passed) == 20
    left = 1000 - 20
    assert sum([await passes(limiters[0], (plenty, "ada")) for _ in range(left + 1)]) == left
    for limiter in limiters:
        await limiter.close()


class Bucket:
    """GCRA as ITU-T I.371 words it: a theoretical arrival time and a tolerance."""

    def __init__(self, limit: Limit) -> None:
        self.interval = -(-limit.seconds * 1_000_000 // limit.requests)
        self.tolerance = self.interval * (limit.requests - 1)
        self.arrival = 0

    def conforms(self, now: int) -> bool:
        return self.arrival - self.tolerance <= now

    def count(self, now: int) -> None:
        self.arrival = max(now, self.arrival) + self.interval


limits = st.builds(
    Limit, st.just("any"), requests=st.integers(1, 50), seconds=st.integers(3600, 86400)
)


@settings(max_examples=60, deadline=None)
@given(
    pair=st.tuples(limits, limits),
    pauses=st.lists(st.integers(0, 3 * 3600 * 1_000_000), min_size=1, max_size=40),
)
def test_it_decides_as_the_standard_does(
    redis_url: str, pair: tuple[Limit, Limit], pauses: list[int]
) -> None:
    now = 1_800_000_000_000_000
    subject, other = new_id().hex, new_id().hex
    first, second = Bucket(pair[0]), Bucket(pair[1])

    async def run() -> None:
        nonlocal now
        limiter = RateLimiter(RedisLine(redis_url), clock=lambda: now)
        for pause in pauses:
            now += pause
            conforms = first.conforms(now) and second.conforms(now)
            assert await passes(limiter, (pair[0], subject), (pair[1], other)) is conforms
            if conforms:
                first.count(now)
                second.count(now)
        await limiter.close()

    asyncio.run(run())


async def test_whoever_waits_as_told_is_let_in(redis_url: str, redis: Redis) -> None:
    now = 1_800_000_000_000_000
    limiter = RateLimiter(RedisLine(redis_url), clock=lambda: now)
    seven = Limit("seven", 7, 60)
    assert all([await passes(limiter, (seven, "ada")) for _ in range(7)])
    with pytest.raises(RateLimited) as refused:
        await limiter.take([(seven, "ada")], when_away="refuse")
    wait = int(refused.value.headers["Retry-After"]) * 1_000_000
    now += wait - 1_000_000
    assert not await passes(limiter, (seven, "ada"))
    now += 1_000_000
    assert await passes(limiter, (seven, "ada"))
    await limiter.close()


async def test_redis_keeps_nobodys_name_and_forgets_by_itself(
    limiter: RateLimiter, redis: Redis
) -> None:
    await limiter.take(
        [(THREE, "ada@example.com"), (Limit("quick", 1, 1), "203.0.113.7")], when_away="refuse"
    )
    keys = [str(key) for key in await redis.keys()]
    assert sorted(key.split(":")[1] for key in keys) == ["quick", "three"]
    assert not any("ada@" in key or "203.0" in key for key in keys)
    lives = {key.split(":")[1]: await redis.pttl(key) for key in keys}
    assert 15_000 < lives["three"] <= 20_000 and lives["quick"] <= 1_000
    await asyncio.sleep(1.1)
    assert len(await redis.keys()) == 1


async def test_a_redis_that_forgot_the_script_is_taught_again(
    limiter: RateLimiter, redis: Redis
) -> None:
    assert await passes(limiter, (THREE, "ada"))
    await redis.script_flush()
    assert [await passes(limiter, (THREE, "ada")) for _ in range(3)] == [True, True, False]


async def test_a_lost_connection_is_opened_again(limiter: RateLimiter, redis: Redis) -> None:
    assert await passes(limiter, (THREE, "ada"))
    await redis.client_kill_filter(_type="normal", skipme=True)
    await asyncio.sleep(0.05)
    assert [await passes(limiter, (THREE, "ada")) for _ in range(3)] == [True, True, False]


async def test_without_redis_reads_go_on_and_logins_do_not() -> None:
    limiter = build_rate_limiter(NOWHERE)
    await limiter.take([(THREE, "ada")], when_away="allow")
    with pytest.raises(ServiceUnavailable) as refused:
        await limiter.take([(THREE, "ada")], when_away="refuse")
    assert refused.value.status == 503


@asynccontextmanager
async def silent_redis() -> AsyncIterator[tuple[str, list[float]]]:
    """The address of a server that takes connections and never answers, and their times."""
    opened: list[float] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(time.monotonic())
        while await reader.read(1000):
            pass
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"redis://127.0.0.1:{port}/0", opened


async def test_a_silent_redis_costs_a_request_a_tenth_of_a_second_once() -> None:
    async with silent_redis() as (url, _):
        limiter = build_rate_limiter(url)
        started = time.monotonic()
        await asyncio.gather(*(limiter.take([(THREE, "a")], when_away="allow") for _ in range(20)))
        first = time.monotonic() - started
        for _ in range(100):
            await limiter.take([(THREE, "a")], when_away="allow")
        rest = time.monotonic() - started - first
        with pytest.raises(ServiceUnavailable):
            await limiter.take([(THREE, "a")], when_away="refuse")
        await limiter.close()
    assert 0.09 < first < 0.5
    assert rest < 0.05


async def test_a_stuck_connection_is_given_up_for_another() -> None:
    async with silent_redis() as (url, opened):
        limiter = build_rate_limiter(url)
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                await limiter.take([(THREE, "a")], when_away="refuse")
        await limiter.close()
    assert len(opened) == 2


def test_an_answer_that_waited_while_the_process_paused_counts(redis_url: str) -> None:
    async def run() -> None:
        limiter = build_rate_limiter(redis_url)
        subject = new_id().hex
        assert await passes(limiter, (THREE, subject))
        redis = build_redis(redis_url)
        await redis.client_pause(100)
        asking = asyncio.create_task(limiter.take([(THREE, subject)], when_away="refuse"))
        await asyncio.sleep(0.02)
        time.sleep(0.6)  # noqa: ASYNC251 - the pause is what is tested
        await asking
        await redis.aclose()
        await limiter.close()

    uvloop.run(run())  # the loop of the services


router = APIRouter()


@router.get("/counted")
async def counted(request: Request) -> str:
    limits = [(Limit("wide", 100, 60), "ada"), (THREE, "ada")]
    await request.app.state.rate_limiter.take(limits, when_away="allow")
    return "counted"


@router.get("/free")
async def free() -> str:
    return "free"


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


async def test_answers_tell_where_the_caller_stands(limiter: RateLimiter) -> None:
    app = build_application("test", description="", routers=[router], checks={}, lifespan=lifespan)
    app.state.rate_limiter = limiter
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as http:
        answers = [await http.get("/counted") for _ in range(4)]
        uncounted = await http.get("/free")
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert [int(answer.headers["ratelimit-reset"]) for answer in answers] == [20, 40, 60, 60]
    for answer in answers:
        assert answer.headers["ratelimit-limit"] == "3"
        assert answer.headers["ratelimit-policy"] == '"wide";q=100;w=60, "three";q=3;w=60'
    assert answers[0].headers["ratelimit"] == '"three";r=2;t=20'
    assert answers[3].json()["type"] == "/problems/rate-limited"
    assert answers[3].json()["limit"] == "three"
    assert not [name for name in uncounted.headers if name.startswith("ratelimit")]
