"""The process manager: supervisord on a private socket, driven over its XML-RPC interface.

It restarts what dies and rotates the logs. What to start, and in which order, the caller says.
"""

import contextlib
import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xmlrpc.client import Fault, ServerProxy, Transport

from dev import processes
from dev.parts.program import POLL_SECONDS, PartError, Program
from dev.state import ROOT, State

# Restarts wait 1, 2, 3, ... seconds: about three minutes of tries before a part is given up.
START_RETRIES = 20
CONFIG = "supervisord.conf"
LOG_BYTES = "10MB"
START_SECONDS = 10.0
RUNNING = ("STARTING", "RUNNING", "BACKOFF")
FAULT_ALREADY_STARTED = 60
FAULT_NOT_RUNNING = 70


@dataclass(frozen=True)
class ProcessState:
    """What the process manager says about one program."""

    name: str
    state: str
    pid: int
    started_at: float
    ended_at: float


class _UnixTransport(Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(START_SECONDS)
        connection.sock.connect(self._path)
        return connection


class Supervisor:
    """A running supervisord. Use `connect` or `launch` to get one."""

    def __init__(self, state: State) -> None:
        path = str(state.supervisor_socket)
        self._proxy = ServerProxy("http://localhost", transport=_UnixTransport(path))
        self._rpc: Any = self._proxy.supervisor

    def processes(self) -> dict[str, ProcessState]:
        return {
            row["name"]: ProcessState(
                row["name"], row["statename"], row["pid"], row["start"], row["stop"]
            )
            for row in self._rpc.getAllProcessInfo()
        }

    def pid(self) -> int:
        return int(self._rpc.getPID())

    def start(self, names: Iterable[str]) -> None:
        """Start programs without waiting for them."""
        for name in names:
            with _ignored(FAULT_ALREADY_STARTED):
                self._rpc.startProcess(name, False)

    def stop(self, names: Iterable[str], seconds: float) -> None:
        """Stop programs side by side and wait until all have ended."""
        waited = set(names) & {p.name for p in self.processes().values() if p.state in RUNNING}
        for name in waited:
            with _ignored(FAULT_NOT_RUNNING):
                self._rpc.stopProcess(name, False)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            busy = {p.name for p in self.processes().values() if p.pid}
            if not waited & busy:
                return
            time.sleep(POLL_SECONDS)

    def shutdown(self) -> None:
        """End supervisord itself, and whatever it still runs."""
        pid = self.pid()
        self._rpc.shutdown()
        deadline = time.monotonic() + START_SECONDS
        while processes.lives(pid) and time.monotonic() < deadline:
            # It looks around once a second, and at once when it is called.
            with contextlib.suppress(OSError, http.client.HTTPException, Fault):
                self._rpc.getState()
            time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def _ignored(code: int) -> Any:
    try:
        yield
    except Fault as fault:
        if fault.faultCode != code:
            raise PartError(f"the process manager refused: {fault.faultString}") from None


def connect(state: State) -> Supervisor | None:
    """The running process manager of this state, or None."""
    supervisor = Supervisor(state)
    try:
        supervisor.pid()
    except (OSError, http.client.HTTPException):
        return None
    return supervisor


def launch(state: State, python: str, programs: Sequence[Program]) -> Supervisor:
    """Start supervisord with these programs, none of them started yet."""
    config = state.run / CONFIG
    config.unlink(missing_ok=True)
    config.touch(mode=0o600)
    config.write_text(render(state, programs))
    command = [python, "-m", "supervisor.supervisord", "-c", str(config)]
    answer = subprocess.run(
        command, cwd=ROOT, env=_environment(state), capture_output=True, text=True
    )
    deadline = time.monotonic() + START_SECONDS
    while answer.returncode == 0 and time.monotonic() < deadline:
        if supervisor := connect(state):
            return supervisor
        time.sleep(0.02)
    said = (answer.stderr or answer.stdout).strip()
    log = state.logs / "supervisord.log"
    raise PartError(f"the process manager did not start: {said or f'see {log}'}")


def _environment(state: State) -> Mapping[str, str]:
    """What every process inherits: nothing that configures another Easel."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("EASEL_")}
    return {**own, processes.MARK_VARIABLE: state.mark}


def render(state: State, programs: Sequence[Program]) -> str:
    """supervisord's configuration file."""
    sections = [
        _section(
            "supervisord",
            {
                "logfile": str(state.logs / "supervisord.log"),
                "logfile_maxbytes": LOG_BYTES,
                "logfile_backups": "1",
                "pidfile": str(state.run / "supervisord.pid"),
                "childlogdir": str(state.logs),
                "directory": str(ROOT),
                "identifier": f"easel-{state.mark}",
                **({"user": "root"} if os.geteuid() == 0 else {}),
            },
        ),
        _section("unix_http_server", {"file": str(state.supervisor_socket), "chmod": "0600"}),
        _section(
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": ("supervisor.rpcinterface:make_main_rpcinterface")},
        ),
        *(_program(state, program) for program in programs),
    ]
    return "\n".join(sections)


def _program(state: State, program: Program) -> str:
    options = {
        "command": " ".join(_quoted(part) for part in program.argv),
        "directory": "/" if program.user else str(ROOT),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": str(START_RETRIES),
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_seconds),
        "killasgroup": "true",
        "stdout_logfile": str(state.logs / f"{program.name}.log"),
        "stdout_logfile_maxbytes": LOG_BYTES,
        "stdout_logfile_backups": "1",
        "redirect_stderr": "true",
    }
    if program.user:
        options["user"] = program.user
    if program.env:
        pairs = (f"{name}={_quoted_value(value)}" for name, value in program.env.items())
        options["environment"] = ",".join(pairs)
    return _section(f"program:{program.name}", options)


def _quoted(text: str) -> str:
    """One word of a command, which supervisord splits by the shell's rules."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quoted_value(text: str) -> str:
    """A value of `environment=`, where supervisord strips quotes and knows no escapes."""
    mark = "'" if '"' in text else '"'
    if mark in text or text.strip("'\"\n") != text:
        raise PartError(f"the process manager cannot pass on the quotes of: {text}")
    return mark + text + mark


def _section(title: str, options: Mapping[str, str]) -> str:
    for name, value in options.items():
        if any(mark in value for mark in (" ;", " #", "\n")):
            raise PartError(f"the process manager would cut `{name}` of {title}: {value}")
    lines = [f"{name}={value.replace('%', '%%')}" for name, value in options.items()]
    return "\n".join([f"[{title}]", *lines, ""])
