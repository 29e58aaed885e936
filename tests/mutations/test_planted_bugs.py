"""Each planted bug is caught by the test that is named beside it.

A bug is one text in one file of a copy of the tree that becomes another; then its test runs in a
process of its own and must fail: neither pass, nor break before it has looked.
"""

import os
import queue
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from libs.testkit.postgres import SHARED, Server
from tests.mutations.planted_bugs import BUGS, Bug

ROOT = Path(os.environ.get("EASEL_ROOT") or Path(__file__).resolve().parents[2])
TREE = ("libs", "services", "dev", "tests")
AT_ONCE = 2
TEST_SECONDS = 120
# How pytest ends when a test has failed.
FAILED = 1


def make_copy(folder: Path) -> Path:
    """A copy of the source tree."""
    for top in TREE:
        shutil.copytree(ROOT / top, folder / top, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run_test(tree: Path, bug: Bug, server: Server) -> tuple[int, str]:
    """Run a bug's test in the copy, whose sources come before all others: its status and its words.

    Bugs in SQL need a database of their own making; the others find a migrated server.
    """
    elsewhere = [path for path in sys.path if path and Path(path).resolve() != ROOT]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tree), *elsewhere]),
        "EASEL_ROOT": str(tree),
        **({} if bug.file.endswith(".sql") else {SHARED: f"{server.port}:{server.password}"}),
    }
    options = ("-x", "-p", "no:cacheprovider", "-p", "no:logging", "-W", "ignore", "-rfE")
    argv = [sys.executable, "-m", "pytest", *options, f"--basetemp={tree / 'tmp'}", bug.test]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=tree, env=environment, stdout=pipe, text=True) as process:
        try:
            said, _ = process.communicate(timeout=TEST_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # it stops the parts that it has started
            said, _ = process.communicate()
    return process.returncode, said


def catch(bug: Bug, trees: "queue.Queue[Path]", server: Server) -> str:
    """Plant a bug, run its test, take the bug out; empty if the test has failed as it must."""
    tree = trees.get()
    file = tree / bug.file
    sound = file.read_text()
    try:
        if bug.old not in sound:
            return f"{bug.file} has changed: plant the bug anew"
        file.write_text(sound.replace(bug.old, bug.new))
        status, said = run_test(tree, bug, server)
        is_caught = status == FAILED and f"FAILED {bug.test}" in said
        return "" if is_caught else f"pytest ended with {status}: {said[-1500:]}"
    finally:
        file.write_text(sound)
        trees.put(tree)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> "queue.Queue[Path]":
    copies: queue.Queue[Path] = queue.Queue()
    for number in range(AT_ONCE):
        copies.put(make_copy(tmp_path_factory.mktemp(f"tree-{number}")))
    return copies


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, trees: "queue.Queue[Path]", postgres_server: Server
) -> Iterator[Mapping[str, Future[str]]]:
    """What became of each bug that is asked for, by its name; two are looked for at a time."""
    asked = [item.name for item in request.session.items]
    bugs = [bug for bug in BUGS if any(f"[{bug.name}]" in name for name in asked)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield {bug.name: threads.submit(catch, bug, trees, postgres_server) for bug in bugs}


@pytest.mark.parametrize("name", [bug.name for bug in BUGS])
def test_a_planted_bug_is_caught(name: str, outcomes: Mapping[str, Future[str]]) -> None:
    assert outcomes[name].result() == ""


def test_bugs_have_names_of_their_own() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20
