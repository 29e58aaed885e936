"""What of Triton's part can be seen without a server; tests/libs/triton starts the real one."""

import secrets
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from dev.parts.triton import (
    SHARED_MEMORY,
    STUB,
    MissingPart,
    TritonPlace,
    TritonPorts,
    clear_leftovers,
    find_stubs,
    find_triton,
)


@pytest.fixture
def place(tmp_path: Path) -> TritonPlace:
    return TritonPlace(tmp_path, tmp_path / "state", TritonPorts(1, 2, 3, 4), control_key="key")


def test_an_environment_without_triton_is_named_with_its_mend(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    with pytest.raises(MissingPart, match="no nvidia-pytriton: `./easel up` installs"):
        find_triton(tmp_path / "bare" / "bin" / "python")


def test_a_python_that_does_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="does not run"):
        find_triton(tmp_path / "python")


def test_two_places_never_share_a_prefix(place: TritonPlace, tmp_path: Path) -> None:
    other = TritonPlace(tmp_path, tmp_path / "other", place.ports, control_key="key")
    assert place.shm_prefix != other.shm_prefix
    assert not place.shm_prefix.startswith(other.shm_prefix)


def test_leftovers_are_cleared_and_nobody_elses(place: TritonPlace) -> None:
    own = SHARED_MEMORY / f"{place.shm_prefix}{secrets.token_hex(4)}"
    foreign = SHARED_MEMORY / f"easel-test-{secrets.token_hex(8)}"
    sleep = [f"some/{STUB}", "-c", "import time; time.sleep(60)"]
    stubs = [
        subprocess.Popen([*sleep, segment.name], executable=sys.executable)
        for segment in (own, foreign)
    ]
    try:
        for segment in (own, foreign):
            segment.touch()
        assert find_stubs(place.shm_prefix) == [stubs[0].pid]
        clear_leftovers(place)
        assert stubs[0].wait(5) != 0
        assert stubs[1].poll() is None
        assert not own.exists()
        assert foreign.exists()
    finally:
        for stub in stubs:
            stub.kill()
            stub.wait()
        foreign.unlink(missing_ok=True)
