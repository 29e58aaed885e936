"""What the doctor says: one sentence, with its mend."""

from pathlib import Path

import pytest

from dev.doctor import GIB, disk_finding, memory_finding, run
from dev.environment import Install, explain
from dev.parts.program import PartError, find_binary
from dev.state import State


def test_a_full_disk_is_trouble_with_a_mend() -> None:
    finding = disk_finding(2 * GIB, Path("state"), installed=False)
    assert finding.trouble == (
        "2.0 GiB free below state, 4 are needed: free some, or set EASEL_STATE_DIR"
    )


def test_less_disk_is_enough_once_everything_is_installed() -> None:
    assert disk_finding(2 * GIB, Path("state"), installed=True).trouble == ""
    assert disk_finding(GIB // 2, Path("state"), installed=True).trouble != ""


def test_little_memory_is_trouble_unless_easel_itself_uses_it() -> None:
    assert "wants 2.5 GiB" in memory_finding(GIB, running=False).trouble
    assert memory_finding(GIB, running=True).trouble == ""
    assert memory_finding(4 * GIB, running=False).trouble == ""


def install_that_said(*lines: str) -> Install:
    install = Install("inference", packages=88)
    for line in lines:
        install.read(line + "\n")
    return install


def test_a_missing_torch_wheel_names_the_variables_that_help() -> None:
    said = "ERROR: No matching distribution found for torch==2.13.0+cpu"
    sentence = explain(install_that_said("Collecting torch==2.13.0+cpu", said))
    assert "PIP_FIND_LINKS" in sentence
    assert "PIP_EXTRA_INDEX_URL" in sentence


def test_another_failure_of_pip_is_repeated() -> None:
    sentence = explain(install_that_said("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES"))
    assert sentence.startswith("pip could not install the inference environment: ERROR: THESE")


def test_a_full_disk_during_an_installation_is_told() -> None:
    error = "ERROR: Could not install packages: [Errno 28] No space left on device"
    assert explain(install_that_said(error)).startswith("the disk is full")


def test_progress_counts_packages_and_megabytes() -> None:
    install = install_that_said(
        "Collecting numpy==1.26.4",
        "  Downloading numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl (18.3 MB)",
        "Collecting six==1.17.0",
        "  Downloading six-1.17.0-py2.py3-none-any.whl (11 kB)",
    )
    assert str(install) == "inference: 2/88, 18 MB"
    install.read("Installing collected packages: six, numpy\n")
    assert str(install) == "inference: installing 88 packages"


def test_a_missing_binary_names_its_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PartError, match="no-such-part was not found: run `./easel up`.*EASEL_PART"):
        find_binary("no-such-part", str(tmp_path / "python"), variable="EASEL_PART")


def test_a_binary_is_taken_from_its_variable_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in ("given", "path"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("EASEL_PART", str(tmp_path / "given" / "part"))
    python = str(tmp_path / "python")
    assert find_binary("part", python, variable="EASEL_PART") == tmp_path / "given" / "part"
    monkeypatch.delenv("EASEL_PART")
    assert find_binary("part", python, variable="EASEL_PART") == tmp_path / "path" / "part"


def test_the_doctor_fails_on_a_checkout_without_environments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EASEL_SERVICES_PYTHON", raising=False)
    monkeypatch.delenv("EASEL_INFERENCE_PYTHON", raising=False)
    assert run(State(tmp_path / "state")) == 1
    said = capsys.readouterr().out
    assert "the services environment is missing or old: run `./easel up`" in said
    assert "the inference environment is missing or old: run `./easel up`" in said
