"""State and secrets of one checkout."""

from pathlib import Path

from dev.local_secrets import LOGIN_ROLES, load_or_make
from dev.state import State


def test_two_checkouts_share_nothing(tmp_path: Path) -> None:
    one, two = State(tmp_path / "one"), State(tmp_path / "two")
    one.make()
    two.make()
    assert one.mark != two.mark
    assert one.supervisor_socket != two.supervisor_socket
    secrets = load_or_make(one.secrets), load_or_make(two.secrets)
    assert all(secrets[0][name] != secrets[1][name] for name in secrets[0])


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.make()
    first = load_or_make(state.secrets)
    assert load_or_make(state.secrets) == first
    assert set(LOGIN_ROLES) < set(first)
    assert len(set(first.values())) == len(first)
    assert state.secrets.stat().st_mode & 0o077 == 0
    assert (state.secrets / "secrets.json").stat().st_mode & 0o077 == 0


def test_a_secret_that_is_new_in_this_version_is_added(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text('{"redis": "kept"}')
    found = load_or_make(tmp_path)
    assert found["redis"] == "kept"
    assert found["triton_control_key"]
