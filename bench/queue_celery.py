"""Celery's own drain: messages of a task that does nothing, one solo worker, real Redis."""

import os
import tempfile
import time
from pathlib import Path
from typing import cast

from celery import Celery
from redis import Redis

from dev.parts.program import LOOPBACK, Program, free_port, services_python, start, stop, wait_ready
from dev.parts.redis import redis

MESSAGES = 4_000
PASSWORD = "bench"
BROKER = "EASEL_BENCH_BROKER"
QUEUE = "noop"


def build_app(url: str) -> Celery:
    """Celery as it comes, but for acknowledging late and keeping no results, as our wake-ups do."""
    app = Celery("noop", broker=url)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        task_default_queue=QUEUE,
    )

    def do_nothing() -> None:
        """What is measured is the way to it."""

    app.task(name="noop")(do_nothing)
    return app


def drain_rate() -> float:
    """Messages a second from the first that the worker takes to the last."""
    python, port = services_python(), free_port()
    url = f"redis://:{PASSWORD}@{LOOPBACK}:{port}/0"
    with tempfile.TemporaryDirectory(prefix="easel-noop-") as name:
        folder = Path(name)
        server = redis(python, port, folder / "redis", PASSWORD, durable=False)
        server_process = start(server, folder / "redis.log")
        try:
            wait_ready(server, server_process, folder / "redis.log", 20)
            app = build_app(url)
            for _ in range(MESSAGES):
                app.send_task("noop")
            return watch(Redis.from_url(url), python, url, folder)
        finally:
            stop(server, server_process)


def length(broker: "Redis") -> int:
    """Messages that no worker has taken."""
    return cast(int, broker.llen(QUEUE))


def watch(broker: "Redis", python: str, url: str, folder: Path) -> float:
    """Start the worker and time the queue's end."""
    argv = [python, "-m", "bench.queue_celery"]
    worker = Program(
        "noop",
        argv,
        ports=[],
        ready=lambda: length(broker) < MESSAGES,
        env={BROKER: url},
    )
    process = start(worker, folder / "worker.log")
    try:
        wait_ready(worker, process, folder / "worker.log", 30)
        begun = time.perf_counter()
        left = length(broker)
        while length(broker):
            time.sleep(0.002)
        return left / (time.perf_counter() - begun)
    finally:
        stop(worker, process)


def main() -> None:
    """The worker, until it is told to end."""
    options = ["--pool=solo", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    build_app(os.environ[BROKER]).worker_main(["worker", "--loglevel=WARNING", *options])


if __name__ == "__main__":
    main()
