"""A Celery worker for tests: `python -m tests.libs.jobs.transport_worker URL RECORD QUEUE ...`.

Writes the number of each task that it runs as a line of the file RECORD, after `pause` seconds.
"""

import sys
import time
from pathlib import Path

from libs.jobs.celery_app import build_celery, run_worker

TASK = "tests.record"
THREADS = 2


def main() -> None:
    """Work until SIGTERM."""
    url, record, *queues = sys.argv[1:]
    celery = build_celery(url)

    def write_number(number: int, pause: float = 0) -> None:
        time.sleep(pause)
        with Path(record).open("a") as file:
            file.write(f"{number}\n")

    celery.task(name=TASK, shared=False)(write_number)
    run_worker(celery, queues=queues, threads=THREADS, log_level="INFO")


if __name__ == "__main__":
    main()
