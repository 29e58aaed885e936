"""Redis behind real Sentinels, whose primary is killed: everybody finds the next one."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis.exceptions import RedisError

from libs.events.connection import build_redis
from libs.events.streams import FIRST, job_stream, publish_event, read_events
from libs.events.topics import Event
from libs.kernel.problems import ServiceUnavailable
from libs.testkit.sentinel import Group, sentinel_group
from libs.web.rate_limits import Limit, build_rate_limiter
from tests.libs.jobs.transport import eventually, working

FAIL_OVER_SECONDS = 20.0


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    with sentinel_group(tmp_path) as started:
        eventually(started.copies_in_step, 20)
        yield started


def test_wake_ups_go_on_when_the_primary_dies(group: Group, tmp_path: Path) -> None:
    with working(group.url, tmp_path) as worked:
        lost = group.kill_primary()
        begin = time.monotonic()
        eventually(lambda: worked.sent(1), FAIL_OVER_SECONDS)
        worked.runs(1, FAIL_OVER_SECONDS)
        assert time.monotonic() - begin < FAIL_OVER_SECONDS
        assert group.primary_port() not in (0, lost)
        for number in range(2, 12):
            worked.send(number)
        worked.runs(11)
        assert set(range(12)) <= set(worked.done())


async def test_streams_and_limits_go_on_when_the_primary_dies(group: Group) -> None:
    client, limiter = build_redis(group.url), build_rate_limiter(group.url)
    limit = Limit("of-the-test", 100, 60)
    before = Event(topic="job.queued", user_id=uuid4(), job_id=uuid4())
    await publish_event(client, before)
    await limiter.take([(limit, "somebody")], when_away="refuse")

    group.kill_primary()
    async with asyncio.timeout(FAIL_OVER_SECONDS):
        while True:
            try:
                await publish_event(client, before)
                await limiter.take([(limit, "somebody")], when_away="refuse")
                break
            except (RedisError, ServiceUnavailable):
                await asyncio.sleep(0.1)
    entries = await read_events(client, job_stream(before.job_id), FIRST, wait_seconds=1)
    assert len(entries) >= 1
    await client.aclose()
    await limiter.close()
