"""Keys that take each other's place, and nobody notices."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import jwt
import pytest

from libs.auth.signing_keys import RETIRE_AFTER, SigningKeys, main, make_signing_key
from libs.auth.tokens import ACCESS_TOKEN_LIFETIME, issue_access_token, verify_access_token

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def names(keys: SigningKeys, now: datetime) -> list[str]:
    return [key.key_id for key in keys.published(now)]


def test_the_newest_key_whose_time_has_come_signs(tmp_path: Path) -> None:
    make_signing_key(tmp_path, NOON)
    keys = SigningKeys(tmp_path, reread_seconds=0)
    first = keys.current(NOON).key_id
    make_signing_key(tmp_path, NOON + HOUR)
    assert keys.current(NOON + HOUR - timedelta(seconds=1)).key_id == first
    assert keys.current(NOON + HOUR).key_id != first


def test_a_key_is_published_before_it_signs_and_until_its_last_token_has_expired(
    tmp_path: Path,
) -> None:
    make_signing_key(tmp_path, NOON)
    make_signing_key(tmp_path, NOON + HOUR)
    keys = SigningKeys(tmp_path)
    first, second = keys.current(NOON).key_id, keys.current(NOON + HOUR).key_id
    assert names(keys, NOON) == [first, second]
    assert names(keys, NOON + HOUR + ACCESS_TOKEN_LIFETIME) == [first, second]
    assert names(keys, NOON + HOUR + RETIRE_AFTER) == [second]


def test_the_last_token_of_a_key_holds_until_it_expires(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    make_signing_key(tmp_path, now - HOUR)
    make_signing_key(tmp_path, now + timedelta(seconds=1))
    keys, user = SigningKeys(tmp_path), uuid4()
    token = issue_access_token(
        keys.current(now), issuer="easel", user_id=user, session_id=uuid4(), now=now
    )
    published = keys.published(now + ACCESS_TOKEN_LIFETIME)
    by_id = {key.key_id: jwt.PyJWK(key.public_jwk()) for key in published}
    key = by_id[jwt.get_unverified_header(token)["kid"]]
    assert verify_access_token(token, key, issuer="easel")[0].user_id == user


def test_without_a_key_in_use_nothing_is_signed(tmp_path: Path) -> None:
    make_signing_key(tmp_path, NOON + HOUR)
    with pytest.raises(LookupError):
        SigningKeys(tmp_path).current(NOON)


def test_other_files_of_the_folder_are_no_keys(tmp_path: Path) -> None:
    make_signing_key(tmp_path, NOON)
    (tmp_path / "README.pem").write_text("not a key")
    assert len(SigningKeys(tmp_path).published(NOON)) == 1


def test_a_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    assert make_signing_key(tmp_path / "keys", NOON).stat().st_mode & 0o077 == 0


def test_the_command_makes_the_next_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path), "600"])
    keys = SigningKeys(tmp_path)
    assert Path(capsys.readouterr().out.strip()).exists()
    with pytest.raises(LookupError):
        keys.current(datetime.now(UTC))
    assert keys.current(datetime.now(UTC) + timedelta(seconds=601))
