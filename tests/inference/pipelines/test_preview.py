from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inference.pipelines.drawing import begin
from inference.pipelines.preview import (
    LatentColours,
    fit_latent_colours,
    predict_original,
    render_preview,
)
from tests.inference.drawn import finish
from tests.inference.pipelines.cases import CASES
from tests.inference.pipelines.models import Models
from tests.inference.sample_requests import request


class FlatVae(torch.nn.Module):
    """Decodes by a known linear map, enlarged four times: what a perfect fit would find."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(latent_channels=4, scaling_factor=0.5)
        self.map = torch.nn.Parameter(torch.linspace(-0.4, 0.4, 12).reshape(4, 3))

    def decode(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        assert not return_dict
        colours = torch.einsum("bchw,cd->bdhw", latents * 0.5, self.map) + 0.1
        return (colours.repeat_interleave(4, 2).repeat_interleave(4, 3),)


def test_the_fit_finds_the_map_of_a_linear_vae() -> None:
    vae = FlatVae()
    colours = fit_latent_colours(vae)
    assert torch.allclose(colours.matrix, vae.map.detach(), atol=1e-5)
    assert torch.allclose(colours.bias, torch.full((3,), 0.1), atol=1e-5)


def test_a_preview_has_a_pixel_for_each_latent_cell() -> None:
    colours = LatentColours(matrix=torch.eye(4, 3), bias=torch.zeros(3))
    latents = torch.zeros(1, 4, 2, 5)
    latents[0, 0, 1, 4], latents[0, 1, 0, 0] = 9.0, -9.0
    picture = render_preview(latents, colours)
    assert picture.shape == (2, 5, 3)
    assert picture.dtype == np.uint8
    assert picture[1, 4].tolist() == [255, 128, 128]
    assert picture[0, 0].tolist() == [128, 0, 128]


@pytest.mark.parametrize("name", CASES)
def test_the_last_preview_shows_the_latents_that_come_out(models: Models, name: str) -> None:
    """The last step goes to sigma 0: there the predicted original is the result itself."""
    case = CASES[name]
    model = models[case.model]
    picture = begin(model, request(**case.changes, steps=5, scheduler="euler"), case.files)
    finish(picture)
    moment, original = picture.steps.moment(), predict_original(picture.steps)
    assert moment is not None and original is not None
    shown = render_preview(original, model.colours).astype(int)
    result = render_preview(moment.sample, model.colours).astype(int)
    assert shown.shape == (64 // model.vae_scale, 64 // model.vae_scale, 3)
    assert np.abs(shown - result).max() <= 2


def test_latents_of_a_vae_with_statistics_are_unscaled_by_them() -> None:
    """Mean and deviation of each channel, as in the VAEs of some SDXL models: diffusers decodes
    latents * deviation / factor + mean."""
    vae = FlatVae()
    vae.config.latents_mean, vae.config.latents_std = [0.5, -0.5, 1.0, 0.0], [2.0, 1.0, 0.5, 4.0]
    colours = fit_latent_colours(vae)
    deviation, mean = torch.tensor(vae.config.latents_std), torch.tensor(vae.config.latents_mean)
    assert torch.allclose(colours.matrix, deviation[:, None] * vae.map.detach(), atol=1e-5)
    assert torch.allclose(colours.bias, 0.1 + 0.5 * mean @ vae.map.detach(), atol=1e-5)
