"""Training pictures: the colour emoji of a font, rendered, placed and varied."""

from __future__ import annotations

import functools
import math
import pathlib
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

SIDE = 64
_GLYPH_SIZE = 109  # the only bitmap strike of Noto Color Emoji, in pixels per em
_GLYPH_SIDE = 136
_FILL = 0.9  # the share of the picture's side that a glyph takes before it is varied
_FONT_NAME = "NotoColorEmoji.ttf"
_FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
_BLOCKS = ((0x2600, 0x27BF), (0x2B00, 0x2BFF), (0x1F300, 0x1F6FF), (0x1F7E0, 0x1F9FF))
_LATE_BLOCK = (0x1FA70, 0x1FAFF)
_VOCABULARY = pathlib.Path(__file__).with_name("vocabulary.tsv")


@dataclass(frozen=True)
class Item:
    """One thing that the model learns to draw: its character, name and other names."""

    character: str
    name: str
    synonyms: tuple[str, ...]


def load_vocabulary(path: pathlib.Path = _VOCABULARY) -> list[Item]:
    """Read the curated vocabulary: tab-separated character, name, comma-separated synonyms."""
    items = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            character, name, synonyms = line.split("\t")
            items.append(Item(character, name, tuple(synonyms.split(","))))
    return items


def find_font(hint: str | None = None) -> pathlib.Path:
    """Find the emoji font: at `hint` (file or folder), by fontconfig, or in the usual folders.

    Raises FileNotFoundError when no copy of the font is to be found.
    """
    folders = [hint] if hint else list(_FONT_FOLDERS)
    if hint and pathlib.Path(hint).is_file():
        return pathlib.Path(hint)
    if not hint and shutil.which("fc-list"):
        listing = subprocess.run(["fc-list", ":", "file"], capture_output=True, text=True)
        for line in listing.stdout.splitlines():
            if line.rstrip(": ").endswith(_FONT_NAME):
                return pathlib.Path(line.rstrip(": "))
    for folder in folders:
        for path in sorted(pathlib.Path(folder).expanduser().glob(f"**/{_FONT_NAME}")):
            return path
    raise FileNotFoundError(f"{_FONT_NAME} not found: install the package fonts-noto-color-emoji")


@functools.cache
def _load_face(font: pathlib.Path) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font), _GLYPH_SIZE)


def render(font: pathlib.Path, character: str) -> Tensor:
    """Render one emoji as premultiplied RGBA, float32 [4, 136, 136] in 0..1, ink centred."""
    face = _load_face(font)
    canvas = Image.new("RGBA", (2 * _GLYPH_SIDE, 2 * _GLYPH_SIDE), (0, 0, 0, 0))
    pen = ImageDraw.Draw(canvas)
    pen.text((_GLYPH_SIDE // 2, _GLYPH_SIDE // 2), character[0], font=face, embedded_color=True)
    square = Image.new("RGBA", (_GLYPH_SIDE, _GLYPH_SIDE), (0, 0, 0, 0))
    box = canvas.getbbox()
    if box is not None:
        ink = canvas.crop(box)
        square.paste(ink, ((_GLYPH_SIDE - ink.width) // 2, (_GLYPH_SIDE - ink.height) // 2))
    rgba = torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255
    return torch.cat([rgba[:3] * rgba[3:], rgba[3:]])


def render_all(font: pathlib.Path) -> Tensor:
    """Render every single-character emoji of the font, float32 [n, 4, 136, 136]."""
    missing = render(font, "\U0010fffd")
    pictures = []
    for first, last in (*_BLOCKS, _LATE_BLOCK):
        for code in range(first, last + 1):
            picture = render(font, chr(code))
            if picture[3].sum() > 200 and not torch.equal(picture, missing):
                pictures.append(picture)
    return torch.stack(pictures)


def composite(rgba: Tensor, background: Tensor) -> Tensor:
    """Lay premultiplied RGBA [n, 4, h, w] on colours [n, 3] in 0..1; RGB in -1..1."""
    alpha = rgba[:, 3:].clamp(0, 1)
    colour = rgba[:, :3] + (1 - alpha) * background[:, :, None, None]
    return colour.clamp(0, 1) * 2 - 1


def canonical(rgba: Tensor) -> Tensor:
    """Scale [n, 4, 136, 136] down to the unvaried training pictures [n, 3, 64, 64] on white."""
    still = vary(rgba, torch.Generator().manual_seed(0), strength=0.0)
    return composite(still, torch.ones(len(rgba), 3))


def vary(rgba: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Scale, turn and shift each picture a little; premultiplied RGBA [n, 4, 64, 64].

    At strength 1: size 86..94 %, turn +-5 degrees, shift +-2 px, all uniform.
    """
    scale, turn, right, down = torch.rand(4, len(rgba), generator=generator) * 2 - 1
    zoom = 1 / (_FILL + 0.04 * strength * scale)
    angle = turn * strength * math.radians(5)
    shift = 2 / (SIDE / 2) * strength
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    rows = [cos, -sin, right * shift, sin, cos, down * shift]
    theta = torch.stack(rows, dim=1).view(-1, 2, 3)
    # Sampling at twice the size and averaging avoids aliasing of the 136 px glyphs.
    grid = F.affine_grid(theta, [len(rgba), 4, 2 * SIDE, 2 * SIDE], align_corners=False)
    large = F.grid_sample(rgba, grid, padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(large, 2)
