from pathlib import Path

import pytest

from inference.engine.settings import SHIPPED_FOLDER, find_model_folder, read_settings

ROOT = Path("somewhere")


def test_the_environment_wins_over_the_configuration() -> None:
    parameters = {"threads": "3", "preload": "demo, other", "max_waiting": "5"}
    settings = read_settings(ROOT, parameters, {"EASEL_ENGINE_THREADS": "1"})
    assert (settings.threads, settings.max_waiting) == (1, 5)
    assert settings.preload == ("demo", "other")
    assert settings.models_dir == ROOT / "models"


@pytest.mark.parametrize("value", ["0", "-1", "two", ""])
def test_a_number_that_is_none_is_named(value: str) -> None:
    with pytest.raises(ValueError, match="threads must be a whole number of at least 1"):
        read_settings(ROOT, {"threads": value}, {})


def test_batches_and_memory_are_set_like_everything_else() -> None:
    plain = read_settings(ROOT, {}, {})
    assert (plain.batch_rows, plain.ageing_seconds, plain.memory_mib) == ((), 10, 0)
    environment = {"EASEL_ENGINE_BATCH_ROWS": "8,2", "EASEL_ENGINE_MEMORY_MIB": "512"}
    settings = read_settings(ROOT, {"batch_rows": "4", "ageing_seconds": "3"}, environment)
    assert (settings.batch_rows, settings.ageing_seconds) == ((2, 8), 3)
    assert settings.memory_mib == 512
    with pytest.raises(ValueError, match="batch_rows must be whole numbers"):
        read_settings(ROOT, {"batch_rows": "many"}, {})


@pytest.mark.parametrize(
    ("parameters", "on_gpu", "rows"),
    [
        ({}, False, ()),
        ({}, True, (8,)),
        ({"max_running": "6"}, True, (12,)),
        ({"batch_rows": "2,4"}, True, (2, 4)),
        ({"batch_rows": ""}, True, ()),
    ],
)
def test_a_gpu_shares_its_steps_unless_told_otherwise(
    parameters: dict[str, str], on_gpu: bool, rows: tuple[int, ...]
) -> None:
    assert read_settings(ROOT, parameters, {}, on_gpu=on_gpu).batch_rows == rows


def test_the_shipped_model_is_found_without_a_models_folder() -> None:
    settings = read_settings(ROOT, {}, {})
    assert find_model_folder(settings, "demo") == ROOT / SHIPPED_FOLDER


def test_the_models_folder_comes_first(tmp_path: Path) -> None:
    settings = read_settings(ROOT, {}, {"EASEL_MODELS_DIR": str(tmp_path)})
    assert find_model_folder(settings, "demo") == ROOT / SHIPPED_FOLDER
    (tmp_path / "demo").mkdir()
    assert find_model_folder(settings, "demo") == tmp_path / "demo"
    assert find_model_folder(settings, "other") == tmp_path / "other"
