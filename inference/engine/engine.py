"""The step loop: one thread admits, advances, finishes and cancels every request of one engine.

It alone touches the models, the jobs and their senders; `submit` only puts a request into its
inbox. Jobs take turns, one UNet call each, and every job is a batch of its own rows: so a request
gives the same bytes whatever runs beside it.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch

from inference.engine import events
from inference.engine.events import Failure, Sender
from inference.engine.metrics import EngineMetrics
from inference.engine.settings import EngineSettings, find_model_folder
from inference.pipelines.drawing import begin, check_size
from inference.pipelines.loading import LoadError, Model, check_folder, load_model
from inference.pipelines.picture import Picture
from inference.pipelines.preview import predict_original, render_preview
from inference.pipelines.request import InvalidRequest, Request, parse_request

log = logging.getLogger("easel.engine")

# Reads the request's text and makes its sender; called by the engine's thread.
Opener = Callable[[], tuple[bytes, Sender]]


@dataclass(eq=False)
class Job:
    """A request on its way, equal to itself alone. Times are time.monotonic() seconds."""

    request: Request
    sender: Sender
    model: Model
    arrived: float
    load_seconds: float = 0.0
    started: float = 0.0
    step_sent: int = 0
    picture: Picture | None = None


class Engine:
    """Owns a thread from `start` to `stop`."""

    def __init__(self, settings: EngineSettings, device: torch.device) -> None:
        self.settings = settings
        self.device = device
        self.metrics = EngineMetrics()
        self._inbox: queue.SimpleQueue[Opener | None] = queue.SimpleQueue()
        self._models: dict[str, Model] = {}
        self._waiting: deque[Job] = deque()
        self._running: deque[Job] = deque()
        self.metrics.running.set_function(lambda: len(self._running))
        self.metrics.waiting.set_function(lambda: len(self._waiting))
        self._loaded: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)

    def start(self) -> None:
        """Load the models to be preloaded, then serve. Raises what stopped a load."""
        self._thread.start()
        error = self._loaded.get()
        if error is not None:
            raise error

    def submit(self, opener: Opener) -> None:
        """Hand a request over. Raises RuntimeError when the engine's thread has ended."""
        if not self._thread.is_alive():
            raise RuntimeError("the engine is not healthy: its thread has ended")
        self._inbox.put(opener)

    def stop(self) -> None:
        """End the thread; requests under way fail as UNAVAILABLE."""
        self._inbox.put(None)
        self._thread.join()

    def _main(self) -> None:
        torch.set_num_threads(self.settings.threads)
        try:
            for model in self.settings.preload:
                self._model(model)
        except Exception as error:  # noqa: BLE001 - start() raises it
            self._loaded.put(error)
            return
        self._loaded.put(None)
        try:
            while self._receive():
                self._drop_cancelled()
                self._admit()
                self._advance_next()
        finally:
            self._fail_all()

    def _receive(self) -> bool:
        """Take what has arrived, waiting for it when there is nothing to do. False: stop."""
        block = not self._running and not self._waiting
        while True:
            try:
                opener = self._inbox.get(block=block)
            except queue.Empty:
                return True
            if opener is None:
                return False
            block = False
            self._accept(opener)

    def _accept(self, opener: Opener) -> None:
        text, sender = opener()
        try:
            request = parse_request(text)
            was_loaded, begun = request.model in self._models, time.monotonic()
            model = self._model(request.model)
            check_size(model, request)
        except InvalidRequest as error:
            return self._fail(sender, Failure.INVALID_ARG, str(error))
        except Exception:
            log.exception("a request could not be accepted")
            return self._fail(sender, Failure.INTERNAL, "the model could not be loaded")
        if len(self._waiting) >= self.settings.max_waiting + self._free_slots():
            return self._fail(
                sender, Failure.UNAVAILABLE, f"busy: {len(self._waiting)} requests are waiting"
            )
        arrived = time.monotonic()
        load_seconds = 0.0 if was_loaded else arrived - begun
        self._waiting.append(Job(request, sender, model, arrived, load_seconds))

    def _model(self, name: str) -> Model:
        loaded = self._models.get(name)
        if loaded is not None:
            return loaded
        folder = find_model_folder(self.settings, name)
        try:
            check_folder(folder)
        except LoadError as error:
            raise InvalidRequest(f"unknown model {name!r}: {error}") from error
        begun = time.monotonic()
        model = self._models[name] = load_model(folder, self.device)
        seconds = time.monotonic() - begun
        self.metrics.load_seconds.labels(name).set(seconds)
        log.info("loaded the model %s in %.2f s", name, seconds)
        return model

    def _free_slots(self) -> int:
        return self.settings.max_running - len(self._running)

    def _drop_cancelled(self) -> None:
        for jobs in (self._running, self._waiting):
            for job in [job for job in jobs if job.sender.is_cancelled()]:
                jobs.remove(job)
                self._fail(job.sender, Failure.CANCELLED, "cancelled")

    def _admit(self) -> None:
        while self._waiting and self._free_slots() > 0:
            job = self._waiting.popleft()
            job.started = time.monotonic()
            try:
                job.picture = begin(job.model, job.request)
                job.picture.advance()
            except Exception as error:  # noqa: BLE001 - one bad job must not end the engine
                self._fail_job(job, error)
                continue
            self.metrics.queue_seconds.observe(job.started - job.arrived)
            job.sender.send(events.started())
            self._running.append(job)

    def _advance_next(self) -> None:
        """One UNet call for the job whose turn it is; the next turn is its neighbour's."""
        if not self._running:
            return
        job = self._running[0]
        self._running.rotate(-1)
        try:
            picture = self._advance(job)
            if picture.is_finished:
                self._running.remove(job)
                self.metrics.jobs.labels("done").inc()
                seconds = time.monotonic() - job.started
                times = {"load": job.load_seconds, "queue": job.started - job.arrived}
                times |= {"steps": seconds, "decode": 0.0}
                job.sender.finish(events.done(job.request.steps, times), picture.result)
        except Exception as error:  # noqa: BLE001 - one bad job must not end the engine
            if job in self._running:
                self._running.remove(job)
            self._fail_job(job, error)

    def _advance(self, job: Job) -> Picture:
        """One call, and the news of it."""
        picture = job.picture
        if picture is None or picture.call is None:
            raise RuntimeError("a job without noise cannot be advanced")
        with self.metrics.step_seconds.time():
            picture.advance(picture.call.run())
        steps = picture.steps
        if steps.done > job.step_sent:
            job.step_sent = steps.done
            every = job.request.progress_every
            due = every > 0 and job.step_sent % every == 0 and steps.done < steps.total
            latents = predict_original(steps) if due else None
            preview = None if latents is None else render_preview(latents, job.model.colours)
            job.sender.send(events.progress(job.step_sent, steps.total), preview)
        return picture

    def _fail_job(self, job: Job, error: Exception) -> None:
        if isinstance(error, InvalidRequest):
            return self._fail(job.sender, Failure.INVALID_ARG, str(error))
        log.error("a job failed", exc_info=error)
        self._fail(job.sender, Failure.INTERNAL, f"the picture failed: {type(error).__name__}")

    def _fail(self, sender: Sender, failure: Failure, message: str) -> None:
        self.metrics.jobs.labels(failure.value.lower()).inc()
        try:
            sender.fail(failure, message)
        except Exception:
            log.exception("an answer could not be sent")

    def _fail_all(self) -> None:
        for job in [*self._running, *self._waiting]:
            self._fail(job.sender, Failure.UNAVAILABLE, "the engine is stopping")
        while not self._inbox.empty():
            opener = self._inbox.get()
            if opener is not None:
                self._fail(opener()[1], Failure.UNAVAILABLE, "the engine is stopping")
