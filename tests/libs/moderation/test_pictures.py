import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from libs.moderation.findings import Finding, Pixels
from libs.moderation.pictures import CATEGORY, hash_picture, is_telling, load_pictures


def scene(seed: int, side: int = 128) -> Pixels:
    """Smooth blobs of colour, another scene for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    enlarged = Image.fromarray(noise, "RGB").resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(enlarged)


def recompressed(pixels: Pixels, quality: int, side: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGB").resize((side, side)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "known.txt"
    path.write_text(f"# known\n\n{hash_picture(scene(1)):016x}  # one\n")
    return path


async def test_a_listed_picture_is_found_recompressed_and_resized(listed: Path) -> None:
    check = load_pictures(listed)
    assert await check(scene(1)) == Finding(CATEGORY)
    assert await check(recompressed(scene(1), quality=40, side=90)) == Finding(CATEGORY)


async def test_other_pictures_pass(listed: Path) -> None:
    check = load_pictures(listed)
    assert [seed for seed in range(2, 200) if await check(scene(seed))] == []


async def test_a_plain_surface_passes_whatever_is_listed(listed: Path) -> None:
    assert await load_pictures(listed)(np.full((64, 64, 3), 7, dtype=np.uint8)) is None


@pytest.mark.parametrize("line", ["zz", "0" * 16, "f" * 16, "abc", "0123456789abcdef0"])
def test_a_line_that_is_no_hash_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "known.txt"
    path.write_text(f"# one\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        load_pictures(path)


def test_the_command_prints_lines_for_the_list(tmp_path: Path) -> None:
    Image.fromarray(scene(3), "RGB").save(tmp_path / "a.png")
    Image.fromarray(np.zeros((64, 64, 3), dtype=np.uint8), "RGB").save(tmp_path / "plain.png")
    command = [sys.executable, "-m", "libs.moderation.pictures", "a.png", "plain.png"]
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert first == f"{hash_picture(scene(3)):016x}  # a.png"
    assert second.endswith("(too plain to be listed)")
    assert not is_telling(int(second[:16], 16))
