import pytest

from libs.kernel.settings import Settings, load


class NeedySettings(Settings):
    database_url: str
    port: int


def test_missing_settings_stop_the_process_with_their_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EASEL_PORT", "eighty")
    monkeypatch.delenv("EASEL_DATABASE_URL", raising=False)
    with pytest.raises(SystemExit) as stopped:
        load(NeedySettings)
    assert stopped.value.code == 78
    complaint = capsys.readouterr().err
    assert "EASEL_DATABASE_URL" in complaint and "EASEL_PORT" in complaint


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_PORT", "80")
    monkeypatch.setenv("EASEL_DATABASE_URL", "postgresql://somewhere")
    settings = load(NeedySettings)
    assert (settings.port, settings.database_url) == (80, "postgresql://somewhere")
