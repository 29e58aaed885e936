import json
import pathlib

import numpy as np
import pytest
import torch

from inference.training import evaluate, fidelity


def test_reference_pictures_survive_the_disk(tmp_path: pathlib.Path) -> None:
    pictures = torch.rand(23, 3, 64, 64) * 2 - 1
    evaluate.save_reference(tmp_path, [str(index) for index in range(23)], pictures)
    names, reference = evaluate.load_reference(tmp_path)
    images = evaluate.to_images(pictures)
    assert names == [str(index) for index in range(23)]
    assert all(
        np.array_equal(np.asarray(image), known)
        for image, known in zip(images, reference, strict=True)
    )
    assert evaluate.nearest(images, reference) == list(range(23))


def test_pairs_cover_all_names_before_any_comes_twice() -> None:
    pairs = evaluate.draw_pairs([str(index) for index in range(30)], 40, seed=1)
    assert len(pairs) == len({seed for _, seed in pairs}) == 40
    assert {index for index, _ in pairs[:30]} == set(range(30))


def test_the_shipped_model_draws_a_red_apple_and_the_same_seed_twice() -> None:
    pipeline = fidelity.load(fidelity.MODEL)
    names, reference = evaluate.load_reference(fidelity.MODEL)
    first, again, other = evaluate.draw(pipeline, ["a red apple"] * 3, [7, 7, 8])
    assert names[evaluate.nearest([first], reference)[0]] == "red apple"
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_the_measure_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert fidelity.main(["--pairs", "10", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["pairs"] == 10
    assert result["fidelity"] >= 0.8
    assert result["weights_mb"] < 32
