"""The two virtual environments, made from the hash-pinned locks with pip alone.

`services` carries the platform and its parts, `inference` carries Triton and diffusers. Each is
stamped with its lock's hash, so a later start that finds the stamp does nothing.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dev.parts.program import PartError
from dev.state import ROOT, State

RESOLVES = ("services", "inference")
LOCKS = ROOT / "3rdparty" / "python"
SUPPORTED = ((3, 11), (3, 12), (3, 13))
STAMP = "easel-lock.sha256"
SIZE = re.compile(r"Downloading \S+ \(([\d.]+) (kB|MB|GB)\)")
MEGABYTES = {"kB": 0.001, "MB": 1.0, "GB": 1000.0}
TORCH_MEND = (
    "PyTorch's CPU wheel was not found: let PIP_FIND_LINKS name a folder that holds it, or "
    "PIP_EXTRA_INDEX_URL the index of PyTorch's CPU wheels, and start again"
)


@dataclass
class Install:
    """One environment being made, as its log tells."""

    resolve: str
    packages: int
    collected: int = 0
    downloaded_mb: float = 0.0
    stage: str = "resolving"
    done: bool = False
    error: str = ""
    lines: list[str] = field(default_factory=list)

    def read(self, line: str) -> None:
        """Take one line of pip's output."""
        self.lines.append(line.rstrip())
        if line.startswith("Collecting "):
            self.collected += 1
        elif found := SIZE.search(line):
            self.downloaded_mb += float(found[1]) * MEGABYTES[found[2]]
        elif line.startswith("Installing collected packages"):
            self.stage = "installing"

    def __str__(self) -> str:
        if self.done:
            return f"{self.resolve}: {self.packages} packages"
        if self.stage == "installing":
            return f"{self.resolve}: installing {self.packages} packages"
        return f"{self.resolve}: {self.collected}/{self.packages}, {self.downloaded_mb:.0f} MB"


def variable(resolve: str) -> str:
    """The environment variable that names an interpreter to use instead."""
    return f"EASEL_{resolve.upper()}_PYTHON"


def python_of(state: State, resolve: str) -> str:
    """The interpreter of a resolve; it may not exist yet."""
    return os.environ.get(variable(resolve)) or str(state.venvs / resolve / "bin" / "python")


def lock_hash(resolve: str) -> str:
    return hashlib.sha256((LOCKS / f"{resolve}.lock").read_bytes()).hexdigest()


def is_current(state: State, resolve: str) -> bool:
    """Whether the environment was made from today's lock (a given interpreter always is)."""
    if os.environ.get(variable(resolve)):
        return True
    stamp = state.venvs / resolve / STAMP
    return stamp.exists() and stamp.read_text() == lock_hash(resolve)


def choose_python() -> str:
    """The interpreter that makes the environments: 3.11 where it is at hand, else this one."""
    named = shutil.which("python3.11")
    # A version manager may offer a name that it then refuses to run.
    if named and subprocess.run([named, "-c", "import venv"], capture_output=True).returncode == 0:
        return named
    return sys.executable


def ensure(
    state: State, resolves: tuple[str, ...] = RESOLVES, show: Callable[[str], None] = print
) -> float:
    """Make the environments that are missing or older than their locks, side by side.

    `show` is given a line of progress about every second. Returns the megabytes downloaded.
    Raises PartError with the mend and the log's path.
    """
    installs = [
        Install(resolve, len(re.findall(r"^[\w.-]+==", _lock_text(resolve), re.MULTILINE)))
        for resolve in resolves
        if not is_current(state, resolve)
    ]
    threads = [threading.Thread(target=_make, args=(state, i), daemon=True) for i in installs]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        show(", ".join(str(install) for install in installs))
        time.sleep(1)
    for install in installs:
        if install.error:
            raise PartError(install.error)
    return sum(install.downloaded_mb for install in installs)


def _lock_text(resolve: str) -> str:
    return (LOCKS / f"{resolve}.lock").read_text()


def _make(state: State, install: Install) -> None:
    log = state.logs / f"install-{install.resolve}.log"
    try:
        with log.open("w") as output:
            _install(state.venvs / install.resolve, install, output.write)
        install.done = True
    except OSError as error:
        install.error = f"the {install.resolve} environment could not be made: {error}"
    except PartError as error:
        install.error = f"{error} (log: {log})"


def _install(folder: Path, install: Install, log: Callable[[str], object]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _run([choose_python(), "-m", "venv", str(folder)], install, log)
    command = [
        *(str(folder / "bin" / "python"), "-m", "pip", "install", "--progress-bar", "off"),
        *("--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "-r", str(LOCKS / f"{install.resolve}.lock")),
    ]
    _run(command, install, log)
    (folder / STAMP).write_text(lock_hash(install.resolve))


def _run(command: list[str], install: Install, log: Callable[[str], object]) -> None:
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    for line in process.stdout:
        log(line)
        install.read(line)
    if process.wait():
        raise PartError(explain(install))


def explain(install: Install) -> str:
    """One sentence for a failed installation, with the mend where it is known."""
    errors = [line for line in install.lines if line.startswith("ERROR")]
    text = "\n".join(errors)
    if "torch" in text and ("No matching distribution" in text or "Could not find" in text):
        return TORCH_MEND
    if any("No space left" in line for line in install.lines):
        return f"the disk is full: free some room for the {install.resolve} environment"
    reason = errors[-1] if errors else (install.lines or ["pip did not start"])[-1]
    return f"pip could not install the {install.resolve} environment: {reason}"
