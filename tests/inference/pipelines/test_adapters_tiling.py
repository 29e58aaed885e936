"""Closed edges: networks that know no edge, and pictures whose opposite edges agree."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from inference.pipelines.adapters import adapt
from inference.pipelines.loading import Model, load_model
from inference.pipelines.request import Request
from tests.inference.adapter_shelf import EDGES, LORAS, Shelf
from tests.inference.drawn import draw
from tests.inference.sample_requests import request

DEMO_MODEL = Path("inference/demo_model")
OPEN = request(loras=LORAS, controls=(EDGES,))
CLOSED = request(loras=LORAS, controls=(EDGES,), tiling=True)
# Whole cells of the coarsest resolution of all these networks.
PIXELS, CELLS = 16, 4
ROUNDING = 1e-4


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def shelf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    torch.set_num_threads(1)
    return Shelf(tmp_path_factory.mktemp(request.param), request.param)


def moved(picture: torch.Tensor, by: int) -> torch.Tensor:
    """Everything to the right and down, around the edges."""
    return picture.roll((by, by), dims=(-2, -1))


def difference(answer: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative to the largest number."""
    return float((answer - expected).abs().max() / expected.abs().max())


def decode(model: Model, latents: torch.Tensor) -> torch.Tensor:
    answer: torch.Tensor = model.components["vae"].decode(latents).sample
    return answer


def encode(model: Model, pixels: torch.Tensor) -> torch.Tensor:
    answer: torch.Tensor = model.components["vae"].encode(pixels).latent_dist.mean
    return answer


def denoise(model: Model, latents: torch.Tensor) -> torch.Tensor:
    """UNet and ControlNet with a control picture that is the same everywhere."""
    width = int(model.denoiser.config.cross_attention_dim)
    words = torch.ones(1, 3, width)
    added: dict[str, Any] = {}
    if model.family == "sdxl":
        added = {"text_embeds": torch.ones(1, 32), "time_ids": torch.ones(1, 6)}
    given = {"encoder_hidden_states": words, "added_cond_kwargs": added, "return_dict": False}
    picture = torch.ones(1, 3, 64, 64)
    down, middle = model.components["controlnet"](latents, 5, controlnet_cond=picture, **given)
    residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
    answer: torch.Tensor = model.denoiser(latents, 5, **given, **residuals)[0]
    return answer


def deviations(model: Model) -> dict[str, float]:
    """How far each network is from answering a moved picture with the moved answer."""
    torch.manual_seed(0)
    latents, pixels = torch.randn(1, 4, 16, 16), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        return {
            "decoder": difference(
                decode(model, moved(latents, CELLS)), moved(decode(model, latents), PIXELS)
            ),
            "encoder": difference(
                encode(model, moved(pixels, PIXELS)), moved(encode(model, pixels), CELLS)
            ),
            "denoiser": difference(
                denoise(model, moved(latents, CELLS)), moved(denoise(model, latents), CELLS)
            ),
        }


def test_networks_with_closed_edges_know_no_edge(shelf: Shelf) -> None:
    """LoRAs, their ControlNet and the VAE's lopsided padding included."""
    for name, deviation in deviations(shelf.adapted(CLOSED)).items():
        assert deviation < ROUNDING, name
    for name, deviation in deviations(shelf.adapted(OPEN)).items():
        assert deviation > 100 * ROUNDING, name


def seam(picture: npt.NDArray[np.uint8]) -> float:
    """The step across the picture's edges over the mean step between neighbours beside them."""
    across, beside = 0.0, 0.0
    for axis in (0, 1):
        lines = np.roll(picture.astype(float), 3, axis=axis).take(range(6), axis=axis)
        steps = np.abs(np.diff(lines, axis=axis))
        means = [float(steps.take(number, axis=axis).mean()) for number in range(5)]
        across += means[2]
        beside += (sum(means) - means[2]) / 4
    return across / beside


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_opposite_edges_agree_like_neighbours(seed: int) -> None:
    """With a model that has learnt what pictures are: its tiles have no seam, its pictures do."""
    torch.set_num_threads(1)
    model = load_model(DEMO_MODEL, torch.device("cpu"))

    def measure(wanted: Request) -> float:
        return seam(draw(adapt(model, wanted, DEMO_MODEL.joinpath), wanted))

    words = {"model": "demo", "prompt": "rainbow", "steps": 8, "guidance": 3.0, "seed": seed}
    assert measure(request(**words)) > 1.5
    assert measure(request(**words, tiling=True)) < 1.25
