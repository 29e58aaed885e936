"""Side calls: text and image encoders and the VAE, made beside the steps, the most urgent first."""

import time
from functools import partial
from typing import Any

from inference.engine.jobs import Job, Jobs, State
from inference.engine.stepping import Done, make_alone
from inference.engine.workers import Worker
from inference.pipelines.calls import Kind

# Before it has a slot, a picture may have its words read and its image encoded, but take no step.
WITH_A_SLOT = (State.RUNNING, State.FINISHING)


class SideWork:
    """Makes one call at a time on a thread of its own."""

    def __init__(self, jobs: Jobs, worker: Worker) -> None:
        self._jobs = jobs
        self._worker = worker
        self._is_busy = False

    def start(self, done: Done) -> None:
        """Begin the next call, if there is one and none is under way; then `done([job], [answer])`,
        the answer being what the call raised if it failed."""
        ready = [] if self._is_busy else [job for job in self._jobs.all if _is_ready(job)]
        if not ready:
            return
        job = self._jobs.ranked(ready)[0]
        call = job.open_call(Kind.SIDE)
        assert call is not None
        self._is_busy = True
        job.begin_work(time.monotonic())
        self._worker.do(partial(make_alone, call), partial(self._made, job, done))

    def _made(self, job: Job, done: Done, answer: Any) -> None:
        self._is_busy = False
        done([job], [answer])


def _is_ready(job: Job) -> bool:
    may_begin = job.state in WITH_A_SLOT or job.state is State.WAITING and job.is_before_steps
    return may_begin and job.open_call(Kind.SIDE) is not None
