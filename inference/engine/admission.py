"""Room for pictures and models: who runs, who waits, what is loaded and what has to leave."""

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from inference.engine import events
from inference.engine.events import Failure, Sender
from inference.engine.jobs import Job, Jobs, State, describe
from inference.engine.memory import MIB, Needs, bytes_together, picture_needs
from inference.engine.scheduling import Candidate, choose_running
from inference.engine.settings import EngineSettings
from inference.engine.shelf import Entry, Loading, Shelf, Wanted, wanted
from inference.engine.workers import Worker
from inference.pipelines.request import InvalidRequest, Request

log = logging.getLogger("easel.engine")


class Admission:
    """`budget` is bytes for models and pictures together. Belongs to the engine's thread."""

    def __init__(
        self, jobs: Jobs, shelf: Shelf, loader: Worker, settings: EngineSettings, budget: int
    ) -> None:
        self.budget = budget
        self.loads_asked: list[tuple[str, Sender, float]] = []
        self._jobs = jobs
        self._shelf = shelf
        self._loader = loader
        self._settings = settings

    @property
    def slots(self) -> int:
        """Pictures that may take steps side by side. Those that are only decoded need no slot, as
        long as they are not more than that themselves."""
        most = self._settings.max_running
        return min(most, max(0, 2 * most - self._jobs.count(State.FINISHING)))

    def check(self, request: Request) -> None:
        """Raises InvalidRequest for a model that is not there, and for a picture that will never
        have the room, as far as that is known before the model is loaded."""
        self._shelf.check(request.model)
        entry = self._shelf.find(request)
        if entry is not None:
            self.needs_of(request, entry)
        elif (weights := self._shelf.bytes_to_load(request.model)) > self.budget:
            raise InvalidRequest(
                f"the model {request.model!r} needs {_mib(weights)} of memory, more than the "
                f"{_mib(self.budget)} that there are"
            )

    def needs_of(self, request: Request, entry: Entry) -> Needs:
        """What the picture takes. Raises InvalidRequest when it can never have that much."""
        needs = picture_needs(entry.model, request)
        taken = self._shelf.bytes_of(request)
        whole = taken + bytes_together([needs], self._settings.batch_rows)
        if whole > self.budget:
            raise InvalidRequest(
                f"a picture of {request.width} x {request.height} pixels needs {_mib(whole)} of "
                f"memory with its model, more than the {_mib(self.budget)} that there are"
            )
        return needs

    def used_bytes(self) -> int:
        """Models, and the pictures that have begun."""
        return self._shelf.bytes + self._bytes_now()

    def choose(self) -> None:
        """Give slots to the most urgent, and take them from those that give way."""
        now, ageing = time.monotonic(), self._jobs.ageing_seconds
        jobs = self._jobs.of(State.WAITING, State.RUNNING, State.PAUSED)
        open_jobs = {job.number: job for job in jobs if job.needs is not None or job.lacks_room}
        if all(job.state is State.RUNNING for job in open_jobs.values()):
            return
        candidates = [
            Candidate(n, job.urgency(now, ageing), job.state is State.RUNNING, job.has_begun)
            for n, job in open_jobs.items()
        ]
        fits = partial(self._fits, open_jobs)
        chosen = set(choose_running(candidates, self.slots, fits))
        for number, job in open_jobs.items():
            if job.state is State.RUNNING and number not in chosen:
                self._pause(job)
        for number in chosen:
            self._run(open_jobs[number], now)
        self._make_room(0)

    def equip(self, job: Job) -> None:
        """Give a job its model, if it is there; fail one that can never have the room."""
        entry = self._shelf.find(job.request)
        if entry is None:
            job.lacks_model = True
            return
        if job.lacks_model:
            job.load_seconds = time.monotonic() - job.arrived
        try:
            job.needs = self.needs_of(job.request, entry)
        except InvalidRequest as error:
            return self._jobs.fail_of(job, error)
        job.entry, job.lacks_room = entry, False

    def load_next(self) -> None:
        """Begin the next load that is asked for or that the most urgent job lacks, if there is
        room."""
        if self._shelf.is_loading is not None:
            return
        loading = self._asked_load() or self._lacked_load()
        if loading is not None:
            what, work = loading
            self._loader.do(work, partial(self.loaded, what))

    def loaded(self, what: Wanted, entry: Entry | Exception) -> None:
        """A load has ended: put the model into its place, or fail who waits for it."""
        self._shelf.loaded(None if isinstance(entry, Exception) else entry)
        if not isinstance(entry, Exception):
            self._jobs.metrics.load_seconds.labels(what.name).set(entry.load_seconds)
        elif not isinstance(entry, InvalidRequest):
            log.error("the model %s could not be loaded", what.name, exc_info=entry)
        if what.adapted is None:
            self._answer_asked(what.name, entry)
        if isinstance(entry, Exception):
            for job in [job for job in self._jobs.all if self._waits_for(job, what)]:
                self._fail_load(job, entry)

    def unload(self, name: str) -> bool:
        """Forget a model that no picture uses; whether it was there."""
        was_there = Wanted(name, None) in self._shelf.entries
        for job in self._jobs.of(State.WAITING):
            if job.request.model == name:
                self._put_back(job)
        self._shelf.remove(name)
        self._jobs.metrics.unloads.inc(was_there)
        return was_there

    def _fits(self, open_jobs: dict[int, Job], numbers: Sequence[int]) -> bool:
        together = [open_jobs[number] for number in numbers]
        if any(job.needs is None for job in together):
            return False
        others = [job for job in self._begun() if job not in together]
        finishing = [job for job in others if job.state is State.FINISHING]
        resting = [job for job in others if job.state is not State.FINISHING]
        names = {job.request.model for job in (*together, *others)} | self._names_loading()
        taken = self._bytes_of([*together, *finishing], resting)
        return self._shelf.bytes_in_use(names) + taken <= self.budget

    def _begun(self) -> list[Job]:
        return [job for job in self._jobs.all if job.has_begun]

    def _bytes_now(self) -> int:
        begun = self._begun()
        return self._bytes_of(
            [job for job in begun if job.state is not State.PAUSED],
            [job for job in begun if job.state is State.PAUSED],
        )

    def _bytes_of(self, working: Sequence[Job], resting: Sequence[Job]) -> int:
        """Peaks of those that work, and what the others keep."""
        needs = [job.needs for job in working if job.needs is not None]
        kept = sum(job.needs.kept for job in resting if job.needs is not None)
        return bytes_together(needs, self._settings.batch_rows) + kept

    def _pause(self, job: Job) -> None:
        job.state = State.PAUSED
        self._jobs.metrics.pauses.inc()
        self._jobs.later(partial(job.sender.send, events.paused(job.drawing.steps.done)))

    def _run(self, job: Job, now: float) -> None:
        if job.state is State.WAITING:
            job.started = now
            self._jobs.metrics.queue_seconds.observe(now - job.arrived - job.load_seconds)
            self._jobs.later(partial(job.sender.send, events.started()))
        elif job.state is State.PAUSED:
            done = job.drawing.steps.done
            self._jobs.later(partial(job.sender.send, events.resumed(done)))
        job.state = State.RUNNING

    def _make_room(self, needed: int) -> bool:
        """Unload idle models until so many bytes are free; whether they are."""
        in_use = {job.request.model for job in self._jobs.all if job.has_begun or job.is_worked_on}
        in_use |= self._names_loading()
        most = self.budget - self._bytes_now() - needed
        if self._shelf.bytes_in_use(in_use) > most:
            return False
        while self._shelf.bytes > most and (name := self._shelf.oldest_idle(in_use)) is not None:
            log.info("unloading the model %s to make room", name)
            self.unload(name)
        self._shelf.forget_adapted({wanted(job.request) for job in self._jobs.all})
        return True

    def _names_loading(self) -> set[str]:
        """The model that is being loaded, or has something added to it: it must not leave now."""
        return {self._shelf.is_loading.name} if self._shelf.is_loading is not None else set()

    def _put_back(self, job: Job) -> None:
        """A picture that has taken no step lets go of its model; it begins anew later."""
        if job.picture is not None:
            job.picture.close()
        job.picture = job.entry = job.needs = None

    def _asked_load(self) -> Loading | None:
        for asked in list(self.loads_asked):
            name, sender, _ = asked
            try:
                if self._make_room(self._shelf.bytes_to_load(name)):
                    return self._shelf.loading(name)
                words = f"busy: there is no room for the model {name!r} now"
                failure = Failure.UNAVAILABLE, words
            except Exception as error:  # noqa: BLE001 - its folder went away, or is being written
                failure = _load_failure(error)
            self.loads_asked.remove(asked)
            self._jobs.later(partial(sender.fail, *failure))
        return None

    def _lacked_load(self) -> Loading | None:
        lacking = [job for job in self._jobs.of(State.WAITING) if job.entry is None]
        for job in self._jobs.ranked(lacking):
            if self._shelf.find(job.request) is not None:
                continue
            try:
                return self._load_for(job)
            except Exception as error:  # noqa: BLE001 - its folder went away, or is being written
                self._fail_load(job, error)
        return None

    def _load_for(self, job: Job) -> Loading | None:
        name = job.request.model
        job.lacks_room = not self._make_room(self._shelf.bytes_to_load(name))
        if job.lacks_room:
            return None
        is_there = Wanted(name, None) in self._shelf.entries
        return self._shelf.adapting(job.request) if is_there else self._shelf.loading(name)

    def _answer_asked(self, name: str, entry: Entry | Exception) -> None:
        now = time.monotonic()
        for asked in [asked for asked in self.loads_asked if asked[0] == name]:
            self.loads_asked.remove(asked)
            _, sender, since = asked
            telling: Any = partial(sender.finish, events.loaded(name, now - since))
            if isinstance(entry, Exception):
                telling = partial(sender.fail, *_load_failure(entry))
            self._jobs.later(telling)

    def _waits_for(self, job: Job, what: Wanted) -> bool:
        is_same = job.request.model == what.name and what.adapted is None
        return job.entry is None and (is_same or wanted(job.request) == what)

    def _fail_load(self, job: Job, error: Exception) -> None:
        self._jobs.fail(job, *_load_failure(error))


def _load_failure(error: Exception) -> tuple[Failure, str]:
    if isinstance(error, InvalidRequest):
        return Failure.INVALID_ARG, str(error)
    return Failure.INTERNAL, f"the model could not be loaded: {describe(error)}"


def _mib(size: int) -> str:
    return f"{-(-size // MIB):,} MiB"
