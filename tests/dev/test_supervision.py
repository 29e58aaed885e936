"""The process manager with real processes: restarts, stops, leaves nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev import processes, restart_triton, supervision
from dev.parts.program import PartError, Program, services_python
from dev.state import ROOT, State
from dev.supervision import ProcessState, Supervisor, render

SLEEPER = "import os, time; print(os.environ['WORD'], flush=True); time.sleep(60)"
WAIT_SECONDS = 15.0


def sleeper(name: str, word: str = "hello") -> Program:
    return Program(
        name=name,
        argv=[sys.executable, "-c", SLEEPER],
        env={"WORD": word},
        ports=[1],
        ready=lambda: True,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.make()
    return state


@pytest.fixture
def supervisor(state: State) -> Iterator[Supervisor]:
    programs = [sleeper("one"), sleeper("two", word="100% of 'it', \\; and# more")]
    yield supervision.launch(state, services_python(), programs)
    if left := supervision.connect(state):
        left.shutdown()
    processes.end(processes.marked(state.mark), signal.SIGKILL, WAIT_SECONDS)


def process(supervisor: Supervisor, name: str) -> ProcessState:
    return supervisor.processes()[name]


def test_nothing_runs_before_it_is_started(supervisor: Supervisor) -> None:
    assert {found.state for found in supervisor.processes().values()} == {"STOPPED"}


def test_a_killed_program_comes_back(supervisor: Supervisor) -> None:
    supervisor.start(["one"])
    wait_for(lambda: process(supervisor, "one").state == "RUNNING")
    first = process(supervisor, "one").pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: process(supervisor, "one").pid not in (0, first))


def test_settings_reach_the_program_as_they_are(state: State, supervisor: Supervisor) -> None:
    supervisor.start(["two"])
    log = state.logs / "two.log"
    wait_for(lambda: log.exists() and bool(log.read_text()))
    assert log.read_text() == "100% of 'it', \\; and# more\n"


def test_stopping_and_shutting_down_leaves_no_process(state: State, supervisor: Supervisor) -> None:
    supervisor.start(["one", "two"])
    wait_for(lambda: all(found.pid for found in supervisor.processes().values()))
    assert len(processes.marked(state.mark)) == 3
    supervisor.stop(["one", "two"], WAIT_SECONDS)
    assert {found.pid for found in supervisor.processes().values()} == {0}
    supervisor.shutdown()
    assert processes.marked(state.mark) == []
    assert supervision.connect(state) is None


def test_orphans_of_a_killed_process_manager_are_found(
    state: State, supervisor: Supervisor
) -> None:
    supervisor.start(["one"])
    log = state.logs / "one.log"
    wait_for(lambda: log.exists() and bool(log.read_text()))  # it could not say it to the dead
    orphan = process(supervisor, "one").pid
    os.kill(supervisor.pid(), signal.SIGKILL)
    wait_for(lambda: supervision.connect(state) is None)
    assert processes.marked(state.mark) == [orphan]


@pytest.mark.parametrize("word", ["""it's "so" """, "ends with '", "a ; comment", "a # too"])
def test_a_value_that_would_be_changed_is_refused(state: State, word: str) -> None:
    with pytest.raises(PartError, match="the process manager"):
        render(state, [sleeper("one", word=word)])


def test_a_long_state_folder_still_has_a_socket(tmp_path: Path) -> None:
    deep = State(tmp_path / ("a" * 60) / ("b" * 60))
    assert len(str(deep.supervisor_socket)) <= 107
    assert deep.supervisor_socket != State(tmp_path / "other").supervisor_socket


def test_triton_is_restarted_for_whoever_asks(state: State) -> None:
    supervisor = supervision.launch(state, services_python(), [sleeper("triton")])
    try:
        supervisor.start(["triton"])
        wait_for(lambda: process(supervisor, "triton").state == "RUNNING")
        before = process(supervisor, "triton").pid
        command = [sys.executable, "-m", restart_triton.__name__]
        subprocess.run(
            command, env={**os.environ, "EASEL_STATE_DIR": str(state.home)}, cwd=ROOT, check=True
        )
        wait_for(lambda: process(supervisor, "triton").pid not in (0, before))
    finally:
        supervisor.shutdown()
