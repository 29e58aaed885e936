"""Parts of a pipeline as plain functions of tensors, which an exporter can trace."""

from typing import Any

import torch
from torch import nn

Outputs = tuple[torch.Tensor, ...]


class TextEncoder(nn.Module):
    """Token ids [b, n] to what diffusers' pipelines read of a CLIP text encoder: the states of the
    last layer, for SDXL those of the last but one and, where there is one, the projection."""

    def __init__(self, encoder: Any, *, penultimate: bool, pooled: bool) -> None:
        super().__init__()
        self.encoder, self.penultimate, self.pooled = encoder, penultimate, pooled

    def forward(self, input_ids: torch.Tensor) -> Outputs:
        answer = self.encoder(input_ids=input_ids, output_hidden_states=self.penultimate)
        if not self.penultimate:
            return (answer.last_hidden_state,)
        states = answer.hidden_states[-2]
        return (states, answer.text_embeds) if self.pooled else (states,)


class UNet(nn.Module):
    """Noisy latents [b, c, h, w], one timestep a row and text states [b, n, d] to a prediction like
    the latents; SDXL's UNets take pooled text [b, p] and six sizes [b, 6] as well."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        text_embeds: torch.Tensor | None = None,
        time_ids: torch.Tensor | None = None,
    ) -> Outputs:
        added = None if text_embeds is None else {"text_embeds": text_embeds, "time_ids": time_ids}
        prediction = self.unet(
            sample, timestep, encoder_hidden_states, added_cond_kwargs=added, return_dict=False
        )
        return (prediction[0],)


class VaeDecoder(nn.Module):
    """Latents as the VAE made them (unscaled) to colours from -1 to 1, [b, 3, h, w]."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latents: torch.Tensor) -> Outputs:
        return (self.vae.decode(latents, return_dict=False)[0],)


class VaeEncoder(nn.Module):
    """Colours from -1 to 1 to mean and deviation of the latents, unscaled."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, image: torch.Tensor) -> Outputs:
        latents = self.vae.encode(image).latent_dist
        return (latents.mean, latents.std)
