"""A Celery worker process, what is sent to it, and what it has done."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from celery import Celery
from kombu.exceptions import OperationalError

from libs.jobs.celery_app import build_celery
from tests.libs.jobs.transport_worker import TASK

ROOT = Path(__file__).parents[3]
QUEUE, UPKEEP = "gpu-standard", "upkeep"
PAUSE_SECONDS = 0.05


def eventually(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until it is true and answer how long that took; fail if it does not become true."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() < begin + seconds, f"it did not happen in {seconds:g} s"
        time.sleep(PAUSE_SECONDS)
    return time.monotonic() - begin


@dataclass(frozen=True)
class Worked:
    """One worker process and its application."""

    process: subprocess.Popen[bytes]
    celery: Celery
    record: Path
    log: Path

    def send(self, number: int, *, queue: str = QUEUE, pause: float = 0) -> None:
        """Publish once. Raises OperationalError while the broker is away."""
        arguments = {"number": number, "pause": pause}
        self.celery.send_task(TASK, kwargs=arguments, queue=queue, retry=False)

    def sent(self, number: int) -> bool:
        """Publish as the relay does, which tries again later; whether it worked."""
        with suppress(OperationalError):
            self.send(number)
            return True
        return False

    def done(self) -> list[int]:
        """Numbers of the tasks that ran, in order."""
        return [int(line) for line in self.record.read_text().split()]

    def takes(self, messages: int, seconds: float = 15) -> None:
        """Wait until the worker has so many messages since its start: Redis needs them no more."""
        eventually(lambda: self.log.read_text().count("] received") >= messages, seconds)

    def runs(self, number: int, seconds: float = 15) -> float:
        """Wait until a task has run; the seconds that it took. The worker must live."""

        def has_run() -> bool:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            return number in self.done()

        return eventually(has_run, seconds)


@contextmanager
def working(url: str, folder: Path) -> Iterator[Worked]:
    """A worker of both queues, which has run its first task (number 0)."""
    record, log = folder / "record", folder / "worker.log"
    record.touch()
    argv = [sys.executable, "-m", "tests.libs.jobs.transport_worker", url, str(record)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*argv, UPKEEP, QUEUE], env=environment, stdout=output, stderr=output
        )
    worked = Worked(process, build_celery(url), record, log)
    try:
        eventually(lambda: worked.sent(0), 15)
        worked.runs(0)
        yield worked
    finally:
        worked.celery.close()
        process.kill()
        process.wait()
