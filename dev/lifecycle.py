"""Start and stop the whole platform in order, and say how it goes."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dev import environment, local_secrets, ports, processes, supervision
from dev.backing import external_backing, local_backing
from dev.parts.postgres import ORDINARY, Account
from dev.parts.program import POLL_SECONDS, PartError, Program
from dev.parts.triton import clear_shared_memory, shm_prefix_of
from dev.platform import (
    Setup,
    background_programs,
    front_programs,
    preparation,
    triton,
)
from dev.state import ROOT, State
from dev.supervision import Supervisor

READY_SECONDS = 120.0
STOP_SECONDS = 30.0
LAST_LINES = 40
FAILED_STATES = ("BACKOFF", "EXITED", "FATAL")
Say = Callable[[str, str], None]


def make_setup(
    state: State, backing: str, chosen: ports.Ports, account: Account = ORDINARY
) -> Setup:
    """Everything that the processes are made from; secrets are made at the first call."""
    python = environment.python_of(state, "services")
    secrets = local_secrets.load_or_make(state.secrets)
    found = (
        external_backing(os.environ)
        if backing == "external"
        else local_backing(state, chosen, secrets, python, account)
    )
    inference = environment.python_of(state, "inference")
    return Setup(state, chosen, secrets, found, python, inference)


def all_programs(setup: Setup) -> list[Program]:
    return [
        *setup.backing.programs,
        triton(setup),
        *front_programs(setup),
        *background_programs(setup),
    ]


def ready_of(
    supervisor: Supervisor | None, programs: Sequence[Program]
) -> dict[str, tuple[supervision.ProcessState | None, bool]]:
    """For each program what the process manager says of it, and whether it answers."""
    known = supervisor.processes() if supervisor else {}
    return {program.name: (known.get(program.name), program.ready()) for program in programs}


class Start:
    """One `up`: starts programs, waits for them, and tells each step with its time."""

    def __init__(self, setup: Setup, supervisor: Supervisor, say: Say) -> None:
        self._setup = setup
        self._supervisor = supervisor
        self._say = say
        self._started = time.monotonic()

    def run(self) -> None:
        """All parts, side by side where nothing hinders. Raises PartError with what failed."""
        setup = self._setup
        back, front = setup.backing.programs, front_programs(setup)
        later = background_programs(setup)
        slow = triton(setup)
        self._launch([*back, slow, *front])
        self._wait(back)
        self._prepare()
        self._launch(later)
        self._wait([*front, *later, slow])

    def _launch(self, programs: Sequence[Program]) -> None:
        self._supervisor.start(program.name for program in programs)

    def _prepare(self) -> None:
        command, settings = preparation(self._setup)
        log = self._setup.state.logs / "prepare.log"
        started = time.monotonic()
        with log.open("w") as output:
            code = subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, **settings},
                stdout=output,
                stderr=subprocess.STDOUT,
            ).returncode
        if code:
            raise PartError(f"the migrations failed: {last_words(log)} (log: {log})")
        self._say("migrations", f"{time.monotonic() - started:.1f} s")

    def _wait(self, programs: Sequence[Program]) -> None:
        waiting = {program.name: program for program in programs}
        deadline = time.monotonic() + READY_SECONDS
        while waiting:
            for name in [name for name, program in waiting.items() if program.ready()]:
                taken = time.monotonic() - self._started
                self._say(name, f"port {waiting.pop(name).ports[0]}, after {taken:.1f} s")
            self._refuse_failed(waiting)
            if time.monotonic() > deadline:
                raise PartError(self._late(waiting))
            if waiting:
                # Asking takes processor time from those who start: less often after a while.
                time.sleep(max(POLL_SECONDS, (time.monotonic() - self._started) / 50))

    def _refuse_failed(self, waiting: dict[str, Program]) -> None:
        states = self._supervisor.processes()
        for name in waiting:
            if states[name].state in FAILED_STATES:
                log = self._setup.state.logs / f"{name}.log"
                raise PartError(f"{name} ended at start: {last_words(log)} (log: {log})")

    def _late(self, waiting: dict[str, Program]) -> str:
        name = next(iter(waiting))
        log = self._setup.state.logs / f"{name}.log"
        return (
            f"{', '.join(waiting)} did not become ready in {READY_SECONDS:.0f} s; "
            f"{name} said last: {last_words(log)} (log: {log})"
        )


def last_words(log: Path) -> str:
    """What a log says of its process's end: the last line about an error, else the last line."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
    except OSError:
        return "nothing"
    said = [line.strip() for line in lines if re.search(r"\w", line)]
    errors = [line for line in said if re.search(r"\b\w*(error|exception)\b", line, re.IGNORECASE)]
    return [*said, *errors][-1][:300] if said else "nothing"


def stop(state: State) -> bool:
    """End everything; false if nothing ran. Front first, so that nothing fails for want of a part.

    Whatever outlived its process manager is found by its mark and ended too.
    """
    supervisor = supervision.connect(state)
    if supervisor:
        names = set(supervisor.processes())
        needed = {"postgres", "redis", "s3", "triton"} & names
        supervisor.stop(names - needed, STOP_SECONDS)
        supervisor.stop(needed, STOP_SECONDS)
        supervisor.shutdown()
    left = remove_leftovers(state)
    return supervisor is not None or left


def remove_leftovers(state: State) -> bool:
    """End what no process manager looks after: it was killed, or is gone. False if none."""
    found = processes.marked(state.mark)
    postmaster = _postmaster(state)
    if postmaster and postmaster not in found:
        found.append(postmaster)
    processes.kill(found)
    clear_shared_memory(shm_prefix_of(state.triton))
    return bool(found)


def _postmaster(state: State) -> int | None:
    """PostgreSQL hides its environment; its own pid file tells who it is."""
    file = state.data / "postgres" / "postmaster.pid"
    try:
        pid = int(file.read_text().splitlines()[0])
        command = (processes.PROC / str(pid) / "cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return None
    return pid if str(state.data / "postgres").encode() in command else None
