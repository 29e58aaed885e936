import json
import logging

import pytest

from libs.telemetry.logs import configure_logs, get_logger


def logged(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    line: dict[str, object] = json.loads(capsys.readouterr().err.strip().splitlines()[-1])
    return line


def test_a_line_is_one_json_object_with_a_utc_time(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("test")
    get_logger("somewhere").info("job_claimed", job_id="j1")
    line = logged(capsys)
    assert (line["event"], line["job_id"], line["level"]) == ("job_claimed", "j1", "info")
    assert (line["service"], line["logger"]) == ("test", "somewhere")
    assert str(line["timestamp"]).endswith("Z")


def test_secrets_are_masked_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("test")
    get_logger("somewhere").warning("refused", access_token="t0k", new_password="pw", email="e")
    line = logged(capsys)
    assert (line["access_token"], line["new_password"], line["email"]) == ("***", "***", "e")


def test_other_libraries_log_into_the_same_stream(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("test")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("celery.worker").exception("failed %s", "here")
    line = logged(capsys)
    assert line["event"] == "failed here"
    assert "ValueError: why" in str(line["exception"])
