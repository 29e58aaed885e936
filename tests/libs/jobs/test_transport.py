"""Celery on real Redis: what no worker may die of, and what every worker recovers from."""

import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from dev.parts.program import LOOPBACK, free_port, services_python, start, wait_ready
from dev.parts.redis import redis as redis_program
from libs.jobs.celery_app import SOFT_SHUTDOWN_SECONDS
from tests.libs.jobs.transport import QUEUE, UPKEEP, Worked, eventually, working
from tests.libs.jobs.transport_worker import THREADS

PASSWORD = "of-the-test"
AWAY_SECONDS = 20.0


@dataclass
class Broker:
    """A Redis that can be killed and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@{LOOPBACK}:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def start(self) -> None:
        data = self.folder / "data"
        program = redis_program(services_python(), self.port, data, PASSWORD, durable=False)
        self.process = start(program, self.folder / "redis.log")
        wait_ready(program, self.process, self.folder / "redis.log")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    started = Broker(tmp_path)
    started.start()
    yield started
    started.kill()


@pytest.fixture
def worked(broker: Broker, tmp_path: Path) -> Iterator[Worked]:
    with working(broker.url, tmp_path) as worker:
        yield worker


ENVELOPE = (
    '{"body": "%s", "content-type": "%s", "content-encoding": "utf-8", "headers": %s,'
    ' "properties": {"delivery_info": {"routing_key": "gpu-standard", "exchange": ""},'
    ' "delivery_tag": "t", "body_encoding": "base64"}}'
)
HEADERS = '{"task": "%s", "id": "1", "lang": "py", "argsrepr": "", "kwargsrepr": ""}'
NO_ARGUMENTS = "W1tdLCB7fSwge31d"  # [[], {}, {}]
UNREADABLE: dict[str, bytes | str] = {
    "no JSON": b"\x00\xff not json",
    "no envelope": b"[1, 2, 3]",
    "an envelope without properties": b'{"body": "e30="}',
    "an envelope without a tag": b'{"body": "e30=", "properties": {}}',
    "a body that is no base64": ENVELOPE % ("%%%", "application/json", HEADERS % "tests.record"),
    "a body that is no JSON": ENVELOPE % ("AP8=", "application/json", HEADERS % "tests.record"),
    "a pickle": ENVELOPE % ("gAROLg==", "application/x-python-serialize", HEADERS % "tests.record"),
    "no task": ENVELOPE % (NO_ARGUMENTS, "application/json", "{}"),
    "an unknown task": ENVELOPE % (NO_ARGUMENTS, "application/json", HEADERS % "tests.unknown"),
    "wrong arguments": ENVELOPE % (NO_ARGUMENTS, "application/json", HEADERS % "tests.record"),
}


def test_what_no_code_can_read_neither_ends_nor_blocks_a_worker(
    broker: Broker, worked: Worked
) -> None:
    for number, (what, message) in enumerate(UNREADABLE.items(), 1):
        broker.client.lpush(QUEUE, message)
        worked.send(number)
        assert worked.runs(number) < 5, what
    assert worked.done() == list(range(len(UNREADABLE) + 1))
    eventually(lambda: broker.client.hlen("unacked") == 0, 5)
    assert broker.client.llen(QUEUE) == 0


def test_many_wake_ups_do_not_delay_what_another_queue_holds(worked: Worked) -> None:
    for number in range(1, 201):
        worked.send(number, pause=0.02)
    ran_meanwhile = len(worked.done())
    worked.send(1000, queue=UPKEEP)
    worked.runs(1000)
    assert ran_meanwhile < 200
    assert worked.done().index(1000) - ran_meanwhile < 20


def test_a_worker_whose_threads_were_all_busy_takes_the_next_at_once(worked: Worked) -> None:
    for round_ in range(1, 3):
        for number in range(1, THREADS + 1):
            worked.send(10 * round_ + number, pause=0.3)
        for number in range(1, THREADS + 1):
            worked.runs(10 * round_ + number)
        time.sleep(0.3)
        worked.send(10 * round_)
        assert worked.runs(10 * round_) < 2


def test_a_redis_that_lost_everything_serves_on(broker: Broker, worked: Worked) -> None:
    broker.client.flushall()
    worked.send(1)
    assert worked.runs(1) < 5


def test_a_killed_redis_is_found_again(broker: Broker, worked: Worked) -> None:
    broker.kill()
    assert not worked.sent(1)
    broker.start()
    eventually(lambda: worked.sent(1), 5)
    assert worked.runs(1) < 10


def test_a_redis_that_is_long_away_is_found_again(broker: Broker, worked: Worked) -> None:
    worked.send(1, pause=1.0)
    worked.takes(2)
    broker.kill()
    begin = time.monotonic()
    assert not worked.sent(2)
    assert time.monotonic() - begin < 3
    assert worked.runs(1) < 3  # what runs is not cut off
    time.sleep(AWAY_SECONDS)
    broker.start()
    eventually(lambda: worked.sent(2), 5)
    assert worked.runs(2, 25) < 20
    worked.send(3)
    assert worked.runs(3) < 2


@pytest.mark.parametrize("is_away", [False, True])
def test_a_worker_that_is_told_to_end_ends_what_runs_and_goes(
    broker: Broker, worked: Worked, is_away: bool
) -> None:
    worked.send(1, pause=1.5)
    worked.takes(2)
    if is_away:
        broker.kill()
        time.sleep(0.5)
    worked.process.send_signal(signal.SIGTERM)
    status = worked.process.wait(SOFT_SHUTDOWN_SECONDS + 5)
    assert status == 0 or is_away  # it cannot say what it has not done, and complains
    assert 1 in worked.done()
