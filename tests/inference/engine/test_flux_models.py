"""Flux through the engine: previews of packed latents, and pictures handed from one to another."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.inference.engine.conftest import MakeEngine
from tests.inference.engine.recorder import operate, submit
from tests.inference.tiny_flux import save_tiny_flux


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("flux")
    save_tiny_flux(folder / "flux")
    return folder


def test_a_picture_comes_with_previews_and_goes_on_elsewhere(
    make_engine: MakeEngine, folder: Path
) -> None:
    wanted: dict[str, Any] = {"model": "flux", "width": 96, "height": 64, "steps": 4}
    whole = submit(make_engine(models_dir=folder), progress_every=1, checkpoint_every=2, **wanted)
    assert whole.wait().failure is None and whole.image is not None
    assert whole.steps == [1, 2, 3, 4]
    assert {preview.shape for preview in whole.previews.values()} == {(16, 24, 3)}
    other = make_engine(models_dir=folder)
    files = [whole.checkpoints[2]]
    resumed = submit(other, files=files, resume=0, **wanted).wait()
    assert resumed.image is not None and np.array_equal(resumed.image, whole.image)
    assert resumed.steps[0] > 2


def test_a_flux_picture_has_one_row_of_half_a_bucket(make_engine: MakeEngine, folder: Path) -> None:
    engine = make_engine(models_dir=folder, batch_rows="4")
    assert submit(engine, model="flux", width=64, height=64, steps=3).wait().image is not None
    figures = operate(engine, "stats").events[-1]["models"]["flux"]
    assert (figures["calls"], figures["rows"], figures["padding_rows"]) == (3, 3, 3)
