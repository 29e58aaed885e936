"""Steps: which pictures share the next call of a denoiser, and what becomes of one that fails."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from inference.engine.jobs import Job, Jobs, State
from inference.engine.scheduling import Ready, model_buckets, next_batch, padded_rows
from inference.engine.workers import Worker
from inference.pipelines.calls import Call, Kind, batch_key, run_together
from inference.runners.faults import free_caches, is_lost, is_out_of_memory

log = logging.getLogger("easel.engine")

# What the engine does with jobs and the answers to their calls, Exceptions for calls that failed.
Done = Callable[[list[Job], list[Any]], None]


@dataclass
class Counts:
    """What the denoiser of one model has done since the start."""

    steps: int = 0
    calls: int = 0
    rows: int = 0
    padding_rows: int = 0


class Made(NamedTuple):
    """Answers of a batch, or what a member raised; `is_isolated`: they were made one by one."""

    answers: list[Any]
    rows: int
    padding_rows: int
    seconds: float
    is_isolated: bool = False


class Stepper:
    """Makes one batch at a time on a thread of its own."""

    def __init__(self, jobs: Jobs, worker: Worker, buckets: Sequence[int]) -> None:
        self.is_stepping = False
        self.counts: dict[str, Counts] = {}
        self._jobs = jobs
        self._worker = worker
        self._buckets = buckets
        self._batches = 0

    def group(self, job: Job) -> None:
        """Find out whose calls can be made with the one that this job waits for."""
        call = job.open_call(Kind.STEP)
        if call is not None:
            job.group = batch_key(call) if self._buckets else job.number

    def start(self, done: Done) -> None:
        """Begin the next batch, if there is one and none is under way; then `done(jobs, made)`."""
        batch = [] if self.is_stepping else self._choose()
        if not batch:
            return
        self.is_stepping = True
        self._batches += 1
        now, calls = time.monotonic(), [job.open_call(Kind.STEP) for job in batch]
        for job in batch:
            job.begin_work(now)
            job.stepped = self._batches
        buckets = model_buckets(self._buckets, is_single(batch[0]))
        self._worker.do(
            partial(make_calls, [call for call in calls if call is not None], buckets),
            partial(self._made, batch, done),
        )

    def _choose(self) -> list[Job]:
        now, ageing = time.monotonic(), self._jobs.ageing_seconds
        ready = {}
        for job in self._jobs.of(State.RUNNING):
            call = job.open_call(Kind.STEP)
            if call is not None:
                urgency = job.urgency(now, ageing)
                one = Ready(job.number, urgency, job.stepped, call.rows, job.group, is_single(job))
                ready[job.number] = (one, job)
        numbers = next_batch([one for one, _ in ready.values()], self._buckets)
        return [ready[number][1] for number in numbers]

    def _made(self, batch: list[Job], done: Done, made: Made | Exception) -> None:
        self.is_stepping = False
        if isinstance(made, Exception):
            answers: list[Any] = [made] * len(batch)
        else:
            answers = made.answers
            self._count(batch, made)
        done(batch, answers)

    def _count(self, batch: list[Job], made: Made) -> None:
        metrics = self._jobs.metrics
        metrics.step_seconds.observe(made.seconds)
        metrics.batch_rows.observe(made.rows)
        metrics.padding_rows.inc(made.padding_rows)
        metrics.isolations.inc(made.is_isolated)
        count = self.counts.setdefault(batch[0].request.model, Counts())
        count.steps += len(batch)
        count.calls += 1
        count.rows += made.rows
        count.padding_rows += made.padding_rows


def is_single(job: Job) -> bool:
    """Whether its model makes one row a picture."""
    return job.needs is not None and job.needs.is_single


def make_calls(calls: Sequence[Call], buckets: Sequence[int]) -> Made:
    """Make calls as one; if that fails, each alone, so that only the culprit has to answer for it.

    A call that is made alone is padded, too: its bytes do not depend on what became of the others.
    Raises what says that the device is lost.
    """
    begun = time.monotonic()
    rows = sum(call.rows for call in calls)
    padded = padded_rows(rows, buckets)

    def made(answers: list[Any], is_isolated: bool = False) -> Made:
        return Made(answers, rows, padded - rows, time.monotonic() - begun, is_isolated)

    error: Exception | None = None
    try:
        return made(run_together(calls, padded))
    except Exception as raised:  # noqa: BLE001 - whose fault it is turns out below
        error = raised
    if is_lost(error):
        raise error
    if len(calls) == 1 and not is_out_of_memory(error):
        return made([error])
    log.warning("a batch of %d is repeated one by one: %s", len(calls), error)
    error = None  # its traceback holds the tensors of the batch
    free_caches()
    return made([_alone(call, buckets) for call in calls], is_isolated=len(calls) > 1)


def _alone(call: Call, buckets: Sequence[int]) -> Any:
    try:
        return run_together([call], padded_rows(call.rows, buckets))[0]
    except Exception as error:
        if is_lost(error):
            raise
        return error


def make_alone(call: Call) -> Any:
    """Make a call that shares no batch; once more with empty caches when memory runs out. Raises
    what the call raises."""
    try:
        return call.run()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    free_caches()
    return call.run()
