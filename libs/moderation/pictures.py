"""The default check of pictures: those that look like one of a list, by perceptual hashes.

`python -m libs.moderation.pictures FILE...` prints the hashes of pictures for such a list.
"""

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from libs.moderation.findings import Finding, Pixels

HASH_SIDE = 8
FEWEST_EDGES = 8  # a hash with fewer is of a picture with nothing in it: it would match too many
LARGEST_DISTANCE = 6  # of 64 bits: recompressed or resized pictures differ by less
CATEGORY = "known-picture"


def hash_picture(pixels: Pixels) -> int:
    """64 bits of uint8 [height, width, 3]: where brightness falls from left to right.

    dHash of N. Krawetz, "Kind of Like That" (2013).
    """
    grey = Image.fromarray(pixels, "RGB").convert("L")
    small = np.asarray(grey.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.LANCZOS)).astype(
        int
    )
    falls = (small[:, :-1] > small[:, 1:]).ravel()
    return int("".join("1" if fall else "0" for fall in falls), 2)


@dataclass(frozen=True)
class KnownPictures:
    """Finds what differs from a known picture by few bits."""

    hashes: tuple[int, ...]

    async def __call__(self, pixels: Pixels) -> Finding | None:
        found = await asyncio.to_thread(hash_picture, pixels)
        is_known = any((found ^ one).bit_count() <= LARGEST_DISTANCE for one in self.hashes)
        return Finding(CATEGORY) if is_known else None


def load_pictures(path: Path) -> KnownPictures:
    """The check of a file with a hash a line, 16 hexadecimal digits; text behind # is a comment.

    Raises ValueError that names a line which is none, or is of an empty picture; OSError.
    """
    return KnownPictures(tuple(_read_hashes(path.read_text(encoding="utf-8").splitlines())))


def _read_hashes(lines: Iterable[str]) -> Iterable[int]:
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            value = int(text, 16)
        except ValueError:
            raise ValueError(f"line {number} is no hash: {text!r}") from None
        if len(text) != HASH_SIDE * HASH_SIDE // 4 or not is_telling(value):
            raise ValueError(f"line {number} is no hash of a picture: {text!r}")
        yield value


def is_telling(value: int) -> bool:
    """Whether a hash tells its picture from a plain surface."""
    return FEWEST_EDGES <= value.bit_count() <= HASH_SIDE * HASH_SIDE - FEWEST_EDGES


def main(paths: Iterable[str]) -> None:
    """Print a line for each picture."""
    for path in paths:
        with Image.open(path) as image:
            value = hash_picture(np.asarray(image.convert("RGB")))
        note = "" if is_telling(value) else " (too plain to be listed)"
        print(f"{value:016x}  # {Path(path).name}{note}")


if __name__ == "__main__":
    main(sys.argv[1:])
