"""One long-running process of the platform: how it starts, when it is ready, how it stops.

The local platform hands these to its process manager; the tests start them directly.
Everything here needs the standard library alone.
"""

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.05


class PartError(Exception):
    """A part cannot be found or does not start; the message says what, and how to mend it."""


@dataclass(frozen=True)
class Program:
    """A process and its readiness check.

    `env` is added to the parent's environment. `user` is the account to run as when the parent is
    root. `ports` are all ports it listens on. `stop_seconds` is its grace after `stop_signal`.
    """

    name: str
    argv: Sequence[str]
    ports: Sequence[int]
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 10


@functools.cache
def site_packages(python: str) -> Path:
    """The site-packages folder of an interpreter, given by the path of its executable."""
    source = "import sysconfig; print(sysconfig.get_path('purelib'))"
    try:
        answer = subprocess.run([python, "-c", source], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise PartError(f"{python} does not run: `./easel up` makes the environment") from None
    return Path(answer.stdout.strip())


def services_python() -> str:
    """The interpreter that carries the platform's packages: EASEL_SERVICES_PYTHON, or this one."""
    return os.environ.get("EASEL_SERVICES_PYTHON") or sys.executable


def find_binary(name: str, python: str, inside: str = "", variable: str = "") -> Path:
    """Path of a binary: the file that `variable` names, the one in `python`'s environment, PATH.

    `inside` is a path below site-packages; without it the environment's bin folder is searched.
    """
    given = os.environ.get(variable, "") if variable else ""
    beside = Path(python).parent / name
    packaged = site_packages(python) / inside / name if inside else beside
    for candidate in (given, str(packaged), shutil.which(name) or ""):
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    mend = f" or set {variable} to its path" if variable else ""
    raise PartError(f"{name} was not found: run `./easel up`, which installs it{mend}")


def free_port() -> int:
    """A loopback TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def answers_http(url: str, statuses: range = range(200, 300), timeout: float = 1.0) -> bool:
    """Whether a GET of `url` is answered with a status in `statuses`."""
    try:
        with urlopen(url, timeout=timeout) as response:
            return response.status in statuses
    except HTTPError as error:
        return error.code in statuses
    except (URLError, OSError, ValueError):
        return False


def start(program: Program, log: Path) -> subprocess.Popen[bytes]:
    """Start the program in a process group of its own, its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            list(program.argv),
            env={**os.environ, **program.env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=program.user,
            group=program.user and _group_of(program.user),
            extra_groups=[] if program.user else None,
            cwd="/" if program.user else None,
        )


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def wait_ready(
    program: Program, process: subprocess.Popen[bytes], log: Path, seconds: float = 30
) -> None:
    """Wait until the program answers. Raises PartError if it ends or does not answer in time."""
    deadline = time.monotonic() + seconds
    while not program.ready():
        if process.poll() is not None:
            raise PartError(f"{program.name} ended at start with {process.returncode}; see {log}")
        if time.monotonic() > deadline:
            raise PartError(f"{program.name} did not answer in {seconds:.0f} s; see {log}")
        time.sleep(POLL_SECONDS)


def stop(program: Program, process: subprocess.Popen[bytes]) -> None:
    """Ask the program to end; after its grace, kill its whole process group."""
    if process.poll() is None:
        process.send_signal(getattr(signal, f"SIG{program.stop_signal}"))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(program.stop_seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
