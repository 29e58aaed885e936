"""What a log says about its part's end."""

from pathlib import Path

import pytest

from dev import logs
from dev.logs import Log
from dev.parts.program import PartError


def test_the_last_error_is_told_before_later_chatter(tmp_path: Path) -> None:
    file = tmp_path / "triton.log"
    log = Log(file)
    file.write_text("loading\nerror: no model 'demo'\n\n;\nunloading\n")
    assert str(log) == f"error: no model 'demo' (log: {file})"


def test_yesterdays_errors_are_not_told_today(tmp_path: Path) -> None:
    file = tmp_path / "part.log"
    file.write_text("ERROR: yesterday\n")
    log = Log(file)
    assert str(log) == f"it said nothing (log: {file})"
    with file.open("a") as text:
        text.write("listening\n")
    assert str(log) == f"listening (log: {file})"
    assert str(Log(file, from_now=False)) == f"ERROR: yesterday (log: {file})"


def test_a_rotated_log_is_read_from_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "part.log"
    file.write_text("x" * 1000)
    log = Log(file)
    file.write_text("new\n")
    assert str(log) == f"new (log: {file})"


def test_an_unknown_part_is_told_with_those_that_are_known(tmp_path: Path) -> None:
    (tmp_path / "redis.log").write_text("ready\n")
    with pytest.raises(PartError, match="no log of redi: choose one of redis"):
        logs.show(tmp_path, "redi", follow=False)


def test_the_end_of_a_log_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"line {number}" for number in range(100)]
    (tmp_path / "redis.log").write_text("\n".join(lines) + "\n")
    logs.show(tmp_path, "redis", follow=False)
    assert capsys.readouterr().out.splitlines() == lines[-logs.TAIL_LINES :]
