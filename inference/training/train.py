"""Train the demo model: from the emoji font to a pipeline that draws what the prompt says.

    python -m inference.training.train --work DIR --minutes 90 --out inference/demo_model

Interrupted, the same command goes on where the last checkpoint was written.
"""

from __future__ import annotations

import argparse
import copy
import logging
import pathlib
import sys
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from transformers import CLIPTokenizer

from inference.training import captions, data, diffusion, evaluate, tokenizer, vae

log = logging.getLogger(__name__)

_CODEC_SHARE, _POLISH_SHARE = 0.15, 0.1


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--font", help="the font file, or a folder to search for it")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="for checkpoints")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="for the pipeline")
    parser.add_argument("--minutes", type=float, default=100.0, help="wall-clock budget")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args(argv)


def assemble(codec: Any, words: CLIPTokenizer, model: diffusion.Denoiser) -> dict[str, Any]:
    """Name the trained parts as the standard pipeline does; the scheduler is Euler's."""
    scheduler: Any = EulerDiscreteScheduler(
        **diffusion.BETAS,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,
    )
    # For the schedulers that are made from this configuration: DDIM would clip the latents.
    scheduler.register_to_config(clip_sample=False, skip_prk_steps=True)
    return {
        "vae": codec,
        "text_encoder": model.text_encoder,
        "tokenizer": words,
        "unet": model.unet,
        "scheduler": scheduler,
        "safety_checker": None,
        "feature_extractor": None,
    }


def export(parts: dict[str, Any], folder: pathlib.Path) -> None:
    """Write the pipeline with float16 weights, leaving the caller's weights as they are."""
    halved = {name: copy.deepcopy(parts[name]).half() for name in ("vae", "text_encoder", "unet")}
    backend = parts["tokenizer"].backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    pipeline: Any = StableDiffusionPipeline(**{**parts, **halved}, requires_safety_checker=False)
    pipeline.save_pretrained(folder)
    # Beside tokenizer.json the two files that readers of CLIP's older layout expect.
    backend.model.save(str(folder / "tokenizer"))


def run(options: argparse.Namespace) -> None:
    """Train codec, then denoiser, and write pipeline, names and reference pictures."""
    for folder in (options.work, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    font, items = data.find_font(options.font), data.load_vocabulary()
    glyphs = torch.stack([data.render(font, item.character) for item in items])
    seconds = options.minutes * 60
    log.info("%d items from %s", len(items), font)
    # The vocabulary comes three times: the codec should know these pictures best.
    pictures = torch.cat([data.render_all(font), glyphs, glyphs])
    torch.manual_seed(0)
    codec = vae.train(
        pictures, seconds * _CODEC_SHARE, options.work / "vae.pt", device=options.device
    )
    words = tokenizer.build(captions.corpus(items))
    latents = diffusion.encode_set(codec, items, glyphs)

    def report(model: diffusion.Denoiser) -> None:
        export(assemble(codec, words, model), options.work / "pipeline")

    model = diffusion.train(
        latents,
        words,
        seconds * (1 - _CODEC_SHARE - _POLISH_SHARE),
        options.work / "diffusion.pt",
        report,
        options.device,
    )
    vae.polish(codec, pictures, seconds * _POLISH_SHARE, options.device)
    export(assemble(codec, words, model.cpu()), options.out)
    evaluate.save_reference(options.out, [item.name for item in items], data.canonical(glyphs))


def main(argv: list[str]) -> int:
    """Run the recipe; returns the exit status."""
    options = parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
