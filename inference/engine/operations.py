"""Requests to the engine itself: `{"op": "stats"}`, `drain`, `load` and `unload`."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from inference.engine import events
from inference.engine.admission import Admission
from inference.engine.events import Event, Failure, Sender
from inference.engine.jobs import Jobs, State
from inference.engine.progress import tell_checkpoint
from inference.engine.shelf import Shelf, Wanted
from inference.engine.stepping import Counts, Stepper
from inference.pipelines.request import InvalidRequest, check_model_name

log = logging.getLogger("easel.engine")


class Operations:
    """Answers them on the engine's thread, all but a load at once."""

    def __init__(self, jobs: Jobs, shelf: Shelf, admission: Admission, stepper: Stepper) -> None:
        self._jobs = jobs
        self._shelf = shelf
        self._admission = admission
        self._stepper = stepper
        self._known: dict[str, Callable[[dict[str, Any], Sender], None]] = {
            "stats": self._stats,
            "drain": self._drain,
            "load": self._load,
            "unload": self._unload,
        }

    def answer(self, document: dict[str, Any], sender: Sender) -> None:
        """Do what `op` names. Raises InvalidRequest."""
        operation = self._known.get(str(document["op"]))
        if operation is None:
            raise InvalidRequest(f"op must be one of {', '.join(self._known)}")
        operation({name: value for name, value in document.items() if name != "op"}, sender)

    def _stats(self, fields: dict[str, Any], sender: Sender) -> None:
        _require_fields(fields, set())
        self._later(sender, self.stats())

    def stats(self) -> Event:
        """The figures of this moment."""
        states = [state for state in State if state is not State.ENDED]
        entries = self._shelf.entries
        names = {want.name for want in entries} | set(self._stepper.counts)
        return events.stats(
            pictures={str(state): self._jobs.count(state) for state in states},
            memory={"budget": self._admission.budget, "used": self._admission.used_bytes()},
            models={name: self._model_stats(name) for name in sorted(names)},
            requests=[job.request_id for job in self._jobs.all],
        )

    def _model_stats(self, name: str) -> dict[str, Any]:
        base = self._shelf.entries.get(Wanted(name, None))
        return {
            **({} if base is None else base.usage.as_dict()),
            "bytes": sum(e.bytes for want, e in self._shelf.entries.items() if want.name == name),
            "pictures": sum(job.request.model == name for job in self._jobs.all),
            **asdict(self._stepper.counts.get(name, Counts())),
        }

    def _drain(self, fields: dict[str, Any], sender: Sender) -> None:
        """Hand generations back, each with its state, without waiting for calls under way."""
        _require_fields(fields, {"requests"})
        wanted = fields["requests"]
        if wanted is not None and not isinstance(wanted, list):
            raise InvalidRequest("requests must be a list of request ids, or null for all")
        self._jobs.tell()
        drained = [job for job in self._jobs.all if wanted is None or job.request_id in wanted]
        for job in drained:
            step = job.picture.steps.done if job.picture is not None else 0
            try:
                tell_checkpoint(self._jobs, job)
            except Exception:
                log.exception("a checkpoint could not be told; others are still handed back")
            words = f"draining: handed back after step {step}"
            self._jobs.fail(job, Failure.UNAVAILABLE, words)
        self._later(sender, events.drained(len(drained)))

    def _load(self, fields: dict[str, Any], sender: Sender) -> None:
        name = _model_name(fields)
        self._shelf.check(name)
        if Wanted(name, None) in self._shelf.entries:
            return self._later(sender, events.loaded(name, 0.0))
        if (weights := self._shelf.bytes_to_load(name)) > self._admission.budget:
            raise InvalidRequest(
                f"the model {name!r} needs {weights} bytes of memory, more than the "
                f"{self._admission.budget} that there are"
            )
        self._admission.loads_asked.append((name, sender, time.monotonic()))

    def _unload(self, fields: dict[str, Any], sender: Sender) -> None:
        name = _model_name(fields)
        users = sum(job.request.model == name for job in self._jobs.all)
        loading = self._shelf.is_loading
        if users or loading is not None and loading.name == name:
            words = f"busy: {users} pictures use the model" if users else "busy: it is being loaded"
            return self._jobs.later(lambda: sender.fail(Failure.UNAVAILABLE, words))
        self._later(sender, events.unloaded(name, self._admission.unload(name)))

    def _later(self, sender: Sender, event: Event) -> None:
        self._jobs.later(lambda: sender.finish(event))


def _require_fields(fields: dict[str, Any], names: set[str]) -> None:
    if set(fields) != names:
        raise InvalidRequest(f"the operation takes {', '.join(sorted(names)) or 'nothing'}")


def _model_name(fields: dict[str, Any]) -> str:
    _require_fields(fields, {"model"})
    return check_model_name("model", fields["model"])
