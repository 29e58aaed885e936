"""Words become what diffusers' `encode_prompt` makes of them; longer ones become chunks."""

from pathlib import Path
from typing import Any

import pytest
import torch

from inference.pipelines.drawing import begin
from inference.pipelines.prompts import MAX_CHUNKS, encode_words, split, weigh
from inference.pipelines.request import InvalidRequest
from tests.inference.drawn import draw, finish
from tests.inference.pipelines.models import Models
from tests.inference.plain import load_plain
from tests.inference.sample_requests import request

CLASSES = {"sd15": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline"}
families = pytest.mark.parametrize("family", CLASSES)


def encode(models: Models, family: str, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    notes: dict[str, Any] = {}
    with torch.no_grad():
        return encode_words(models[family], request(**changes), notes), notes


def encode_plain(folder: Path, family: str, **arguments: Any) -> dict[str, Any]:
    pipeline = load_plain(folder, CLASSES[family])
    encoder = pipeline.text_encoder
    # Diffusers looks for the last norm where transformers had it before version 5.
    object.__setattr__(encoder, "text_model", encoder)
    names: tuple[str, ...] = ("prompt_embeds", "negative_prompt_embeds")
    if family == "sdxl":
        names = (*names, "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    with torch.no_grad():
        answer = pipeline.encode_prompt(
            device=torch.device("cpu"),
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
            **arguments,
        )
    return dict(zip(names, answer, strict=True))


@families
@pytest.mark.parametrize("clip_skip", [0, 1])
@pytest.mark.parametrize(
    ("prompt", "negative"),
    [
        ("a red apple", "blurry, dark"),
        ("a red apple", ""),
        ("", ""),
        ("  spaces   and\nlines ", "x"),
        ("ein Apfel \u00e9 \u65e5\u672c \U0001f34e", "\u00fc"),
        ("smile :) 16:9 C:\\dir ;-(", "a]"),
        ("<|endoftext|> tricks <|startoftext|>", "a"),
        ("!!! and more !", "!"),
        ("a" * 75, "b" * 75),
        ("a, b, " * 12 + "abc", ""),
    ],
)
def test_a_plain_prompt_is_encoded_bit_for_bit_as_diffusers_does(
    models: Models, family: str, prompt: str, negative: str, clip_skip: int
) -> None:
    words, notes = encode(
        models, family, prompt=prompt, negative_prompt=negative, clip_skip=clip_skip
    )
    plain = encode_plain(
        models.folder(family),
        family,
        prompt=prompt,
        negative_prompt=negative or None,
        clip_skip=clip_skip or None,
    )
    assert notes["prompt_chunks"] == 1
    assert words.keys() == plain.keys()
    for name, value in plain.items():
        assert torch.equal(words[name], value), name


@families
def test_without_guidance_only_the_prompt_is_encoded(models: Models, family: str) -> None:
    words, _ = encode(models, family, guidance=1.0, negative_prompt="dark")
    assert not [name for name in words if name.startswith("negative")]


@families
def test_a_long_prompt_is_cut_into_chunks_that_are_encoded_apart(
    models: Models, family: str
) -> None:
    texts = [("a " * 75, "f"), ("b " * 75, ""), ("c d e", "")]
    prompt = "".join(wanted for wanted, _ in texts)
    words, notes = encode(models, family, prompt=prompt, negative_prompt="f")
    assert notes == {"prompt_tokens": 153, "prompt_chunks": 3}
    for number, (wanted, unwanted) in enumerate(texts):
        part = slice(77 * number, 77 * (number + 1))
        folder = models.folder(family)
        plain = encode_plain(folder, family, prompt=wanted, negative_prompt=unwanted)
        for name in ("prompt_embeds", "negative_prompt_embeds"):
            assert torch.allclose(words[name][:, part], plain[name], atol=1e-6)
    assert words["prompt_embeds"].shape == words["negative_prompt_embeds"].shape


@families
def test_breaks_make_chunks_of_their_own(models: Models, family: str) -> None:
    words, notes = encode(models, family, prompt="a red BREAK apple", negative_prompt="dark")
    assert notes["prompt_chunks"] == 2
    folder = models.folder(family)
    first = encode_plain(folder, family, prompt="a red", negative_prompt="dark")
    second = encode_plain(folder, family, prompt="apple", negative_prompt="")
    for name in ("prompt_embeds", "negative_prompt_embeds"):
        joined = torch.cat([first[name], second[name]], dim=1)
        assert torch.allclose(words[name], joined, atol=1e-6)
    for name in ("pooled_prompt_embeds", "negative_pooled_prompt_embeds"):
        if name in words:
            assert torch.allclose(words[name], first[name], atol=1e-6)


@families
def test_weights_multiply_the_embeddings_of_their_words_and_keep_the_mean(
    models: Models, family: str
) -> None:
    plain, _ = encode(models, family, prompt="a red apple")
    words, _ = encode(models, family, prompt="a (red:1.5) apple")
    changed, before = words["prompt_embeds"][0], plain["prompt_embeds"][0]
    ratio = changed / before
    width = before.shape[-1] // (2 if family == "sdxl" else 1)
    for start in range(0, before.shape[-1], width):
        half = ratio[:, start : start + width]
        # start, a, then the three letters of red: tokens 2 to 4
        assert torch.allclose(half[2:5] / half[0, 0], torch.full_like(half[2:5], 1.5), rtol=1e-3)
        rest = torch.cat([half[:2], half[5:]]) / half[0, 0]
        assert torch.allclose(rest, torch.ones_like(rest), rtol=1e-3)
        means = [one[:, start : start + width].mean() for one in (changed, before)]
        assert float(means[0]) == pytest.approx(float(means[1]), rel=1e-3, abs=1e-6)
    for name in words.keys() - {"prompt_embeds"}:
        assert torch.equal(words[name], plain[name])


def test_a_mean_of_zero_is_left_alone() -> None:
    hidden = torch.tensor([[[1.0], [-1.0]]])
    assert weigh(hidden, torch.tensor([[2.0, 2.0]])).tolist() == [[[2.0], [-2.0]]]


def test_a_chunk_ends_at_a_comma_that_is_near(models: Models) -> None:
    tokenizer = models["sd15"].components["tokenizer"]
    assert [len(chunk) for chunk in split(tokenizer, "a" * 60 + "," + "b" * 40)] == [61, 40]
    assert [len(chunk) for chunk in split(tokenizer, "a" * 40 + "," + "b" * 60)] == [75, 26]
    assert [len(chunk) for chunk in split(tokenizer, "a" * 60 + "," + "b" * 14)] == [75]


@families
@pytest.mark.parametrize(
    "prompt",
    ["((((", "a]" * 20, "\ud800 half a character", "\x00", ":1.3) (", "(a:1e999)", "BREAK", "()"],
)
def test_nonsense_is_drawn(models: Models, family: str, prompt: str) -> None:
    assert draw(models[family], request(prompt=prompt, steps=1)).shape == (64, 64, 3)


@families
def test_extreme_weights_are_drawn(models: Models, family: str) -> None:
    words, _ = encode(models, family, prompt="(a:-10) (b:10) (c:0)", negative_prompt="(d:-9)")
    assert all(value.isfinite().all() for value in words.values())


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_too_long_a_prompt_is_refused(models: Models, field: str) -> None:
    message = f"^{field}: 33 chunks of 75 tokens are more than {MAX_CHUNKS}"
    with pytest.raises(InvalidRequest, match=message):
        begin(models["sd15"], request(**{field: "a" * (32 * 75 + 1)})).advance()


def test_a_negative_prompt_that_is_not_used_costs_no_chunks(models: Models) -> None:
    _, notes = encode(models, "sd15", negative_prompt="a" * 5000, guidance=1.0)
    assert notes["prompt_chunks"] == 1


@families
def test_what_there_is_to_tell_about_a_prompt_is_noted(models: Models, family: str) -> None:
    picture = begin(models[family], request(prompt="a" * 80, steps=1))
    finish(picture)
    assert picture.notes == {"prompt_tokens": 80, "prompt_chunks": 2}


def test_zeros_stand_for_no_negative_prompt_where_the_folder_says_so(models: Models) -> None:
    words, _ = encode(models, "sdxl", prompt="a" * 80)
    for name in ("negative_prompt_embeds", "negative_pooled_prompt_embeds"):
        assert not words[name].any()
    assert words["negative_prompt_embeds"].shape == words["prompt_embeds"].shape
