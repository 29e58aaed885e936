"""The engine with another runner: requests and events are as before, stats say who computed."""

from pathlib import Path
from typing import Any

import pytest

from inference.engine.settings import read_settings
from tests.inference.engine.conftest import MakeEngine
from tests.inference.engine.recorder import submit


def settings(**parameters: str) -> Any:
    return read_settings(Path("root"), parameters, environment={})


def test_the_runner_is_a_setting() -> None:
    assert settings().runner == "eager"
    assert settings().exports_dir == Path("root/exports")
    assert settings(runner="compile").runner == "compile"
    with pytest.raises(ValueError, match="runner must be one of eager, .* not 'magic'"):
        settings(runner="magic")


def test_stats_say_that_torch_stood_in_for_a_runner(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    engine = make_engine(runner="onnxruntime", exports_dir=tmp_path)
    recorder = submit(engine, steps=3).wait()
    assert recorder.image is not None
    assert recorder.events[-1]["made_by"]["runner"] == "eager"
    stats = submit(engine, b'{"op": "stats"}').wait().events[-1]["models"]["tiny"]
    assert (stats["runner"], stats["runner_calls"]) == ("onnxruntime", 0)
    reason = f"there is no exported unet below {tmp_path / 'tiny'}"
    assert stats["eager_calls"] == {reason: 3}
