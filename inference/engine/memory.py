"""How many bytes a picture takes beside its model, reckoned before it begins.

Peaks of one call, in elements of the network's own type, h x w being latent cells and H x W pixels:

    UNet         28 c0 h w a row; c0: channels of its first block. Two copies of the hidden state,
                 what the skip connections keep and the 8 c0 of the gated feed-forward add up to
                 26 c0 in SD 1.5 and 16 c0 in SDXL, whose first level has no attention.
    transformer  16 d (h w / 4 + 512) a row; d: its width; a token is 2 x 2 cells, and 512 are text.
    ControlNet   8 c0 h w a row for what each hands to the UNet.
    VAE          3 (c0 + c1) H W; c0, c1: channels of its first two blocks, which decode at full
                 size.

Peaks by the word of torch's allocator are between half of that and all of it (tests). Attention is
counted as torch's fused kernels do it, without the matrix of scores. Whatever does not grow with
the picture, and what a library takes for itself, is the mebibyte of a call and the share of the
device that the budget leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inference.engine.scheduling import model_buckets, padded_rows
from inference.pipelines.loading import Model
from inference.pipelines.request import Request

MIB = 1 << 20
CALL_BYTES = MIB
SHARE_OF_ACCELERATOR, SHARE_OF_FREE = 0.9, 0.95
SHARE_OF_AVAILABLE = 0.8
UNET_WIDTHS, TRANSFORMER_WIDTHS, CONTROL_WIDTHS, VAE_WIDTHS = 28, 16, 8, 3
TEXT_TOKENS, CELLS_OF_A_TOKEN = 512, 4
# Latents with a multistep scheduler's history, and colours as FP32 and bytes.
LATENTS_KEPT, BYTES_OF_A_PIXEL = 16, 3 * 5
MEMORY_INFO = Path("/proc/meminfo")
GROUP_LIMIT, GROUP_USED = (Path(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))


@dataclass(frozen=True)
class Needs:
    """Bytes of one picture: `row` is the peak of a denoiser call for each row, of which there are
    `rows`; `side` that of its other calls; `kept` lies there from its beginning to its end. A model
    that `is_single` has smaller batches (`model_buckets`)."""

    row: int
    rows: int
    side: int
    kept: int
    is_single: bool = False


def picture_needs(model: Model, request: Request) -> Needs:
    """The formulas above for a picture of this request."""
    cells = request.width * request.height // model.vae_scale**2
    pixels = request.width * request.height
    denoiser, vae = model.denoiser, model.components["vae"]
    is_single = "unet" not in model.components
    is_guided = request.guidance > 1 and not is_single
    return Needs(
        row=_row_elements(denoiser, cells, len(request.controls)) * _item_bytes(denoiser),
        rows=2 if is_guided else 1,
        side=VAE_WIDTHS * (_channels(vae, 0) + _channels(vae, 1)) * pixels * _item_bytes(vae),
        kept=LATENTS_KEPT * cells * vae.config.latent_channels * 4 + BYTES_OF_A_PIXEL * pixels,
        is_single=is_single,
    )


def bytes_together(needs: Sequence[Needs], buckets: Sequence[int]) -> int:
    """The peak of pictures that run side by side: one batch of steps and one other call at a time.

    A batch has the rows of all of them, or those that a single one is padded to.
    """
    sizes = [model_buckets(buckets, one.is_single) for one in needs]
    alone = [one.row * padded_rows(one.rows, own) for one, own in zip(needs, sizes, strict=True)]
    joined = sum(one.row * one.rows for one in needs) if buckets else 0
    side = max((one.side for one in needs), default=0)
    return max([*alone, joined]) + side + sum(one.kept for one in needs) + 2 * CALL_BYTES


def weight_bytes(parts: dict[str, Any]) -> dict[int, int]:
    """The pieces of memory that the networks among the parts lie in: bytes by address."""
    pieces = {}
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            for tensor in (*part.parameters(), *part.buffers()):
                piece = tensor.untyped_storage()
                pieces[piece.data_ptr()] = piece.nbytes()
    return pieces


def find_budget(memory_mib: int, device: torch.device) -> int:
    """Bytes for models and pictures: as set, or most of what the device has, and no more than is
    free there now."""
    if memory_mib:
        return memory_mib * MIB
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return int(min(total * SHARE_OF_ACCELERATOR, free * SHARE_OF_FREE))
    return int(_available() * SHARE_OF_AVAILABLE)


def _available() -> int:
    """Bytes that this machine, or the control group that we run in, has left."""
    lines = MEMORY_INFO.read_text().splitlines()
    left = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    limit = GROUP_LIMIT.read_text().strip() if GROUP_LIMIT.is_file() else "max"
    if limit.isdecimal():
        left = min(left, int(limit) - int(GROUP_USED.read_text()))
    return left


def _row_elements(denoiser: Any, cells: int, controls: int) -> int:
    config = denoiser.config
    if "block_out_channels" in config:
        return (UNET_WIDTHS + CONTROL_WIDTHS * controls) * _channels(denoiser, 0) * cells
    width = config.num_attention_heads * config.attention_head_dim
    return int(TRANSFORMER_WIDTHS * width * (cells // CELLS_OF_A_TOKEN + TEXT_TOKENS))


def _channels(network: Any, block: int) -> int:
    """Channels of a block; of the last one where there are fewer."""
    channels = network.config.block_out_channels
    return int(channels[min(block, len(channels) - 1)])


def _item_bytes(network: Any) -> int:
    return int(next(network.parameters()).element_size())
