"""What the operating system knows about the platform's processes (/proc, or ps where it is not)."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from dev.parts.program import POLL_SECONDS

PROC = Path("/proc")
# Every process that the platform starts carries this variable; its value is `State.mark`.
MARK_VARIABLE = "EASEL_PLATFORM"
KIB = 1024


def parents() -> dict[int, int]:
    """Process id -> id of its parent, for every process that can be seen."""
    if not (PROC / "self").exists():
        listing = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True)
        return {int(pid): int(ppid) for pid, ppid in map(str.split, listing.stdout.splitlines())}
    found = {}
    for pid in _proc_ids():
        with contextlib.suppress(OSError, ValueError):
            # The name before it may hold spaces and brackets: split after the last bracket.
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            found[pid] = int(fields[1])
    return found


def _proc_ids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()]


def tree(root: int, parent_of: dict[int, int]) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for pid, parent in parent_of.items():
        children.setdefault(parent, []).append(pid)
    found, pending = [], [root]
    while pending:
        pid = pending.pop()
        found.append(pid)
        pending += children.get(pid, [])
    return found


def memory_bytes(pids: Iterable[int]) -> int:
    """Memory of these processes; pages that several share are counted in parts (Linux)."""
    return sum(_memory(pid) for pid in pids)


def _memory(pid: int) -> int:
    if not (PROC / "self").exists():
        answer = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True)
        return int(answer.stdout.strip() or 0) * KIB
    try:
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * KIB
    except OSError:
        return 0
    return 0


def marked(mark: str) -> list[int]:
    """Processes of the platform with this mark, whoever their parent is now."""
    wanted = f"{MARK_VARIABLE}={mark}"
    if not (PROC / "self").exists():
        command = ["ps", "-axEww", "-o", "pid=,command="]
        listing = subprocess.run(command, capture_output=True, text=True)
        lines = (line.split() for line in listing.stdout.splitlines())
        return [int(words[0]) for words in lines if wanted in words]
    found = []
    for pid in _proc_ids():
        with contextlib.suppress(OSError):
            if wanted.encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def lives(pid: int) -> bool:
    """Whether the process runs; one that ended and was not yet fetched by its parent does not."""
    try:
        os.kill(pid, 0)
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:
        return not (PROC / "self").exists()


def end(pids: Sequence[int], by: signal.Signals, seconds: float) -> None:
    """Send a signal and wait until all have ended, or the seconds are over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, by)
    deadline = time.monotonic() + seconds
    while any(map(lives, pids)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
