"""What the command line says to people."""

import sys
import time
from collections.abc import Mapping, Sequence

from dev import account, processes
from dev.parts.program import Program
from dev.settings import Setup
from dev.supervision import ProcessState

MEBIBYTE = 2**20
WIDTH = 14


class Steps:
    """Steps of a start, one line each; progress of a long one is drawn over itself."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._drawn = 0

    def done(self, name: str, detail: str) -> None:
        self._clear()
        print(f"  {name:<{WIDTH}} {detail}", flush=True)

    def progress(self, text: str) -> None:
        """Only on a terminal: a log needs no film."""
        if sys.stdout.isatty():
            self._clear()
            print(f"  {text[:100]}", end="", flush=True)
            self._drawn = len(text[:100]) + 2

    def _clear(self) -> None:
        if self._drawn:
            print("\r" + " " * self._drawn + "\r", end="")
            self._drawn = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started


def print_status(
    programs: Sequence[Program], states: Mapping[str, tuple[ProcessState | None, bool]]
) -> bool:
    """The table of all parts; whether all run and answer."""
    print(f"{'part':<{WIDTH}} {'state':<9} {'pid':>8} {'port':>6} {'memory':>9}  ready")
    parent_of = processes.parents()
    total = 0
    all_ready = True
    for program in programs:
        state, ready = states[program.name]
        pid = state.pid if state else 0
        memory = processes.memory_bytes(processes.tree(pid, parent_of)) if pid else 0
        total += memory
        all_ready &= ready and bool(pid)
        name = state.state.lower() if state else "down"
        print(
            f"{program.name:<{WIDTH}} {name:<9} {pid or '-':>8} {program.ports[0]:>6} "
            f"{memory / MEBIBYTE:>5.0f} MiB  {'yes' if ready else 'no'}"
        )
    print(f"{'all':<{WIDTH}} {'':<9} {'':>8} {'':>6} {total / MEBIBYTE:>5.0f} MiB")
    return all_ready


def print_pages(setup: Setup) -> None:
    """Where the platform is, and what a person may open beside it."""
    for name, url in {"API": f"{setup.public_url}/docs/generation", **setup.pages}.items():
        print(f"  {name:<{WIDTH}} {url}")


def print_welcome(setup: Setup, seconds: float) -> None:
    """Where the platform is, who may log in, and a picture in two commands."""
    url, demo = setup.public_url, account.DEMO
    password = setup.secrets[demo.secret]
    print(f"\nEasel runs at {url} (ready in {seconds:.1f} s)")
    for known in (demo, account.OPERATOR):
        print(f"  {known.display_name:<{WIDTH}} {known.email}  {setup.secrets[known.secret]}")
    print_pages(setup)
    read_token = "python3 -c 'import json,sys; print(json.load(sys.stdin)[\"access_token\"])'"
    post = "-H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json'"
    print(f"""
Log in, then a picture, and a plan (pay on the page that is answered, with its test card):
  TOKEN=$(curl -s {url}/api/v1/auth/login -H 'Content-Type: application/json' \\
    -d '{{"email": "{demo.email}", "password": "{password}"}}' | {read_token})
  curl -s {url}/api/v1/generations {post} \\
    -d '{{"model": "demo", "prompt": "a red apple", "width": 64, "height": 64, "steps": 20}}'
  curl -s {url}/api/v1/payments/checkout {post} \\
    -d '{{"plan": "starter", "interval": "month"}}'
or a picture with progress and the file:  ./easel demo --prompt "a red apple"
""")
