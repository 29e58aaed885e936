"""The engine: one thread that owns every picture and every sender, and three that work for it.

Its thread decides, and takes pictures on from call to call; the calls themselves are made by the
step worker (batches of the denoiser), the side worker (encoders, VAE) and the loader. What they
have done comes back through the inbox, as requests do. Decisions are made between two steps; while
a step is under way, answers are sent and new pictures made ready.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from inference.engine.admission import Admission
from inference.engine.events import Failure, Sender
from inference.engine.jobs import Job, Jobs, State
from inference.engine.memory import find_budget
from inference.engine.metrics import EngineMetrics
from inference.engine.operations import Operations
from inference.engine.progress import begin_picture, finish, require_finite, tell_steps
from inference.engine.settings import EngineSettings
from inference.engine.shelf import Load, Shelf
from inference.engine.side_work import SideWork
from inference.engine.stepping import Stepper
from inference.engine.workers import Worker, settle
from inference.pipelines.calls import Kind
from inference.pipelines.images import require_file
from inference.pipelines.loading import load_model
from inference.pipelines.request import InvalidRequest, make_request, parse_object
from inference.runners.faults import is_lost

log = logging.getLogger("easel.engine")
POLL_SECONDS = 0.05
JOIN_SECONDS = 5.0
LOST_EXIT = 70
STOPPING = "the engine is stopping"


@dataclass(frozen=True)
class Arrival:
    """A request as it came: tensor REQUEST, tensor FILES, its id and where the answers go."""

    text: bytes
    files: Sequence[bytes]
    request_id: str
    sender: Sender


# Reads a request and makes its sender; called by the engine's thread.
Opener = Callable[[], Arrival]


def end_process() -> None:
    """What to do without an accelerator: whoever supervises this process starts another."""
    os._exit(LOST_EXIT)


class Engine:
    """Owns its threads from `start` to `stop`. `load` brings a folder into memory; `lost` is called
    when the accelerator answers nothing any more."""

    def __init__(
        self,
        settings: EngineSettings,
        device: torch.device,
        *,
        load: Load = load_model,
        lost: Callable[[], None] = end_process,
    ) -> None:
        self.settings = settings
        self.device = device
        self.metrics = EngineMetrics()
        self._lost = lost
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._door, self._is_closed = threading.Lock(), False
        self._arrivals, self._asked_all = 0, 0.0
        self._jobs = Jobs(self.metrics, settings.ageing_seconds)
        self._shelf = Shelf(settings, device, load)
        names = ("engine-steps", "engine-side", "engine-loads")
        self._workers = [Worker(n, settings.threads, device, self._inbox.put) for n in names]
        steps, sides, loads = self._workers
        self._stepper = Stepper(self._jobs, steps, settings.batch_rows)
        self._sides = SideWork(self._jobs, sides)
        budget = find_budget(settings.memory_mib, device)
        self._admission = Admission(self._jobs, self._shelf, loads, settings, budget)
        self._operations = Operations(self._jobs, self._shelf, self._admission, self._stepper)
        self._ready: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)

    def start(self) -> None:
        """Load the models to be preloaded, then serve. Raises what stopped a load."""
        self._thread.start()
        error = self._ready.get()
        if error is not None:
            raise error

    def submit(self, opener: Opener) -> None:
        """Hand a request over. Raises RuntimeError when the engine's thread has ended."""
        with self._door:
            if self._is_closed or not self._thread.is_alive():
                raise RuntimeError("the engine is not healthy: its thread has ended")
            self._inbox.put(partial(self._accept, opener))

    def stop(self) -> None:
        """End the threads; requests under way fail as UNAVAILABLE."""
        self._inbox.put(None)
        self._thread.join()
        for worker in self._workers:
            worker.join(JOIN_SECONDS)

    def _main(self) -> None:
        settle(self.settings.threads, self.device)
        try:
            for name in self.settings.preload:
                what, load = self._shelf.loading(name)
                self._admission.loaded(what, load())
        except Exception as error:  # noqa: BLE001 - start() raises it
            self._stop_workers()
            return self._ready.put(error)
        self._ready.put(None)
        try:
            while self._receive():
                self._turn()
        except Exception as error:
            if not is_lost(error):
                raise
            log.critical("the accelerator is lost: %s", error)
            self._lost()
        finally:
            self._fail_all()
            self._stop_workers()

    def _receive(self) -> bool:
        """Do what has arrived, waiting for it: for ever if there is no job. False: stop."""
        timeout = POLL_SECONDS if self._jobs.all else None
        while True:
            try:
                message = self._inbox.get(timeout is None or timeout > 0, timeout)
            except queue.Empty:
                return True
            if message is None:
                return False
            message()
            timeout = 0.0

    def _turn(self) -> None:
        """Decide, set the workers to work, then tell what there is to tell."""
        self._go_on()
        self._jobs.tell()
        if self._drop_cancelled():
            self._go_on()
            self._jobs.tell()

    def _go_on(self) -> None:
        self._admission.load_next()
        self._make_ready()
        if not self._stepper.is_stepping:
            self._admission.choose()
            for job in self._jobs.of(State.RUNNING):
                self._begin(job)
                self._place(job)
            self._stepper.start(self._answered)
        self._sides.start(self._answered)

    def _accept(self, opener: Opener) -> None:
        try:
            arrival = opener()
        except Exception:  # noqa: BLE001 - nobody can be told
            return log.exception("a request could not be read")
        try:
            document = parse_object(arrival.text)
            if "op" in document:
                return self._operations.answer(document, arrival.sender)
            request = make_request(document)
            self._admission.check(request)
            if request.resume is not None:
                require_file(arrival.files, request.resume, "resume")
        except InvalidRequest as error:
            return self._jobs.refuse(arrival.sender, Failure.INVALID_ARG, str(error))
        except Exception:
            log.exception("a request could not be accepted")
            return self._jobs.refuse(arrival.sender, Failure.INTERNAL, "the engine failed")
        waiting = self._jobs.count(State.WAITING)
        free = max(0, self._admission.slots - self._jobs.count(State.RUNNING))
        if waiting >= self.settings.max_waiting + free:
            words = f"busy: {waiting} requests are waiting"
            return self._jobs.refuse(arrival.sender, Failure.UNAVAILABLE, words)
        self._arrivals += 1
        self._jobs.all.append(
            Job(
                number=self._arrivals,
                request=request,
                files=arrival.files,
                request_id=arrival.request_id,
                sender=arrival.sender,
                arrived=time.monotonic(),
            )
        )

    def _make_ready(self) -> None:
        """Find the models of those that wait, and have the words of the next ones read, so that
        they can take their first step with the others' next one."""
        for job in self._jobs.of(State.WAITING):
            if job.entry is None:
                self._admission.equip(job)
        waiting = [job for job in self._jobs.of(State.WAITING) if job.entry is not None]
        if waiting:
            for job in self._jobs.ranked(waiting)[: self.settings.max_running]:
                self._begin(job)

    def _begin(self, job: Job) -> None:
        """Let the picture begin, as far as its first call."""
        if job.picture is not None or job.entry is None:
            return
        try:
            begin_picture(job)
        except Exception as error:  # one bad job must not end the engine
            if is_lost(error):
                raise
            return self._jobs.fail_of(job, error)
        self._stepper.group(job)

    def _answered(self, jobs: list[Job], answers: list[Any]) -> None:
        """Calls have been made: take their pictures on to the next ones."""
        now = time.monotonic()
        for job, answer in zip(jobs, answers, strict=True):
            if job.state is not State.ENDED:
                job.end_work(now)
                self._advance(job, answer)

    def _advance(self, job: Job, answer: Any) -> None:
        if isinstance(answer, Exception):
            return self._jobs.fail_of(job, answer)
        try:
            job.drawing.advance(answer)
            require_finite(job)
        except Exception as error:  # one bad job must not end the engine
            if is_lost(error):
                raise
            return self._jobs.fail_of(job, error)
        self._stepper.group(job)
        self._jobs.later(partial(tell_steps, self._jobs, job))
        if job.state is not State.WAITING:
            self._place(job)

    def _place(self, job: Job) -> None:
        """A picture whose steps are done gives its slot back; one that is done is told."""
        if job.state is State.ENDED or job.picture is None:
            return
        steps = job.drawing.steps
        if job.drawing.is_finished:
            return finish(self._jobs, job)
        is_done = steps.done >= steps.total and job.open_call(Kind.SIDE) is not None
        if job.state is State.RUNNING and is_done:
            job.state, job.steps_ended = State.FINISHING, time.monotonic()

    def _drop_cancelled(self) -> bool:
        """Whether anybody has gone. To ask Triton takes a moment, so those that only wait are asked
        a few times a second."""
        now = time.monotonic()
        asks_all = now >= self._asked_all + POLL_SECONDS
        self._asked_all = now if asks_all else self._asked_all
        asked = [job for job in self._jobs.all if asks_all or job.has_begun]
        gone = [job for job in asked if job.sender.is_cancelled()]
        for job in gone:
            self._jobs.fail(job, Failure.CANCELLED, "cancelled")
        return bool(gone)

    def _fail_all(self) -> None:
        with self._door:
            self._is_closed = True
        for job in list(self._jobs.all):
            self._jobs.fail(job, Failure.UNAVAILABLE, STOPPING)
        for _, sender, _ in self._admission.loads_asked:
            self._jobs.later(partial(sender.fail, Failure.UNAVAILABLE, STOPPING))
        self._jobs.tell()
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, partial) and message.func == self._accept:
                message.args[0]().sender.fail(Failure.UNAVAILABLE, STOPPING)

    def _stop_workers(self) -> None:
        for worker in self._workers:
            worker.stop()
