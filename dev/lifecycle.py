"""Start and stop the whole platform in order, and say how it goes."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence

from dev import environment, local_secrets, ports, processes, supervision
from dev.backing import external_backing, local_backing
from dev.logs import Log
from dev.parts.postgres import ORDINARY, Account
from dev.parts.program import POLL_SECONDS, PartError, Program
from dev.parts.triton import clear_shared_memory, shm_prefix_of
from dev.platform import background_programs, front_programs, preparation, triton
from dev.settings import Setup
from dev.state import ROOT, State
from dev.supervision import ProcessState, Supervisor

READY_SECONDS = 120.0
STOP_SECONDS = 30.0
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


def make_admin(setup: Setup, email: str) -> None:
    """Give an account the role of an operator. Raises PartError."""
    run_as_administrator(setup, "dev.make_admin", email)


def give_tier(setup: Setup, tier: str, emails: Sequence[str]) -> None:
    """Give accounts a tier that nobody pays for. Raises PartError."""
    run_as_administrator(setup, "dev.give_tier", tier, *emails)


def run_as_administrator(setup: Setup, module: str, *arguments: str) -> None:
    """Run a module of ours as the database's administrator. Raises PartError with what it said."""
    done = subprocess.run(
        [setup.python, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "EASEL_ADMIN_DATABASE_URL": setup.backing.admin_database_url},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise PartError(f"{module} {' '.join(arguments)} failed: {done.stderr.strip()}")


def all_programs(setup: Setup) -> list[Program]:
    return [
        *setup.backing.programs,
        triton(setup),
        *front_programs(setup),
        *background_programs(setup),
    ]


def ready_of(
    supervisor: Supervisor | None, programs: Sequence[Program]
) -> dict[str, tuple[ProcessState | None, bool]]:
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
        self._logs: dict[str, Log] = {}
        self._ends: set[tuple[str, float]] = set()

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
        self._logs |= {p.name: Log(self._setup.state.logs / f"{p.name}.log") for p in programs}
        self._supervisor.start(program.name for program in programs)

    def _prepare(self) -> None:
        command, settings = preparation(self._setup)
        log = Log(self._setup.state.logs / "prepare.log")
        started = time.monotonic()
        with log.file.open("a") as output:
            code = subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, **settings},
                stdout=output,
                stderr=subprocess.STDOUT,
            ).returncode
        if code:
            raise PartError(f"the migrations failed: {log}")
        self._say("migrations", f"{time.monotonic() - started:.1f} s")

    def _wait(self, programs: Sequence[Program]) -> None:
        waiting = {program.name: program for program in programs}
        deadline = time.monotonic() + READY_SECONDS
        while waiting:
            states = self._supervisor.processes()
            for name in [name for name in waiting if states[name].pid and waiting[name].ready()]:
                taken = time.monotonic() - self._started
                self._say(name, f"port {waiting.pop(name).ports[0]}, after {taken:.1f} s")
            for name in waiting:
                self._refuse_failed(states[name])
            if time.monotonic() > deadline:
                raise PartError(self._late(waiting))
            if waiting:
                # Asking takes processor time from those who start: less often after a while.
                time.sleep(max(POLL_SECONDS, (time.monotonic() - self._started) / 50))

    def _refuse_failed(self, process: ProcessState) -> None:
        """A part may end once, for example because its port was still held; not twice."""
        if process.state in FAILED_STATES:
            self._ends.add((process.name, process.ended_at))
        if len([name for name, _ in self._ends if name == process.name]) > 1:
            raise PartError(f"{process.name} ended at start: {self._logs[process.name]}")

    def _late(self, waiting: Iterable[str]) -> str:
        names = ", ".join(waiting)
        said = self._logs[next(iter(waiting))]
        return f"{names} did not become ready in {READY_SECONDS:.0f} s: {said}"


def stop(state: State) -> bool:
    """End everything; false if nothing ran. Front first, so that nothing fails for want of a part.

    Whatever outlived its process manager is found by its mark and ended too.
    """
    supervisor = supervision.connect(state)
    if supervisor:
        names = set(supervisor.processes())
        needed = {"postgres", "redis", "s3", "mail", "triton"} & names
        supervisor.stop(names - needed, STOP_SECONDS)
        supervisor.stop(needed, STOP_SECONDS)
        supervisor.shutdown()
    left = remove_leftovers(state)
    return supervisor is not None or left


def remove_leftovers(state: State) -> bool:
    """End what no process manager looks after: it was killed, or is gone. False if none."""
    found = processes.marked(state.mark)
    postmaster = _postmaster(state)
    if postmaster:
        # Its children hold the shared memory until it has ended them.
        processes.end([postmaster], signal.SIGINT, STOP_SECONDS)
        found.append(postmaster)
    processes.end(found, signal.SIGKILL, STOP_SECONDS)
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
