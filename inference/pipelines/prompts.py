"""From words to what a denoiser is conditioned on, prompts of any length and with weights.

A plain prompt that fits into one chunk is encoded just as diffusers' `encode_prompt` does it:
`clip_skip` takes an earlier layer of the positive prompt alone, and SDXL makes an empty negative
prompt zeros where its folder says so (diffusers: no negative prompt at all).

Longer prompts are cut into chunks of 75 tokens, at the last comma where one is near, that are
encoded apart and joined; the shorter of the prompts gets empty chunks. SDXL's pooled output is
that of the first chunk. A weight multiplies the embeddings of its tokens, then each chunk gets
back the mean that it had. These are the rules of AUTOMATIC1111/stable-diffusion-webui
(modules/sd_hijack_clip.py; "Original" in modules/sd_emphasis.py).
"""

from dataclasses import dataclass
from typing import Any

import torch

from inference.pipelines.loading import Model
from inference.pipelines.prompt_weights import Span, parse_prompt
from inference.pipelines.request import InvalidRequest, Request

COMMA, COMMA_REACH = ",</w>", 20
# 2400 tokens; each chunk costs every call of the denoiser 77 more keys to attend to.
MAX_CHUNKS = 32

Weighted = list[tuple[int, float]]


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with its text encoder."""

    tokenizer: Any
    network: Any


@dataclass(frozen=True)
class Layers:
    """Which hidden state an encoder gives: `last` is its usual one counted from the end, normed or
    not, as diffusers' pipeline of the family takes it."""

    last: int
    normed: bool


LAYERS = {"sd15": Layers(1, True), "x4": Layers(1, True), "sdxl": Layers(2, False)}


def encode_words(model: Model, request: Request, notes: dict[str, Any]) -> dict[str, Any]:
    """What a pipeline's call gets for the words: prompt_embeds [1, chunks x 77, width] and so on.

    Notes the tokens of the prompt and the chunks. Runs within a picture. Raises InvalidRequest for
    more chunks than MAX_CHUNKS and for more layers to skip than there are.
    """
    encoders = find_encoders(model)
    require_layers(model, encoders, request.clip_skip)
    fields = ("prompt", "negative_prompt") if request.guidance > 1 else ("prompt",)
    chunked = [
        [split(encoder.tokenizer, getattr(request, field)) for encoder in encoders]
        for field in fields
    ]
    counts = [max(map(len, chunks)) for chunks in chunked]
    for field, count in zip(fields, counts, strict=True):
        require_room(field, count)
    notes["prompt_tokens"] = sum(map(len, chunked[0][0]))
    notes["prompt_chunks"] = max(counts)
    wanted = encode(model, encoders, chunked[0], max(counts), request.clip_skip)
    if request.guidance <= 1:
        return wanted
    if not request.negative_prompt and model.options.get("force_zeros_for_empty_prompt"):
        unwanted = {name: torch.zeros_like(value) for name, value in wanted.items()}
    else:
        unwanted = encode(model, encoders, chunked[1], max(counts), 0)
    return wanted | {f"negative_{name}": value for name, value in unwanted.items()}


def require_room(field: str, count: int) -> None:
    """Raises InvalidRequest for more chunks than MAX_CHUNKS."""
    if count > MAX_CHUNKS:
        raise InvalidRequest(f"{field}: {count} chunks of 75 tokens are more than {MAX_CHUNKS}")


def find_encoders(model: Model) -> list[Encoder]:
    """The text encoders of a model, in the order in which their embeddings are joined."""
    parts = model.components
    pairs = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
    return [Encoder(parts[one], parts[two]) for one, two in pairs if parts.get(two) is not None]


def require_layers(model: Model, encoders: list[Encoder], clip_skip: int) -> None:
    """Raises InvalidRequest for more layers to skip than an encoder has."""
    last = LAYERS[model.family].last
    most = min(encoder.network.config.num_hidden_layers for encoder in encoders) + 1 - last
    if clip_skip > most:
        raise InvalidRequest(f"clip_skip: this model can skip {most} layers, not {clip_skip}")


def split(tokenizer: Any, text: str) -> list[Weighted]:
    """The tokens of a prompt with their weights, in chunks; at least one."""
    room = tokenizer.model_max_length - 2
    comma = tokenizer.get_vocab().get(COMMA)
    chunks = []
    for spans in parse_prompt(text.encode("utf-8", "replace").decode()):
        tokens = [weighted for span in spans for weighted in tokenize(tokenizer, span)]
        while tokens:
            cut = find_cut(tokens, room, comma)
            chunks.append(tokens[:cut])
            tokens = tokens[cut:]
    return chunks or [[]]


def tokenize(tokenizer: Any, span: Span) -> Weighted:
    """A span's tokens without the marks of start and end."""
    ids = tokenizer(span.text, add_special_tokens=False, truncation=False, verbose=False).input_ids
    return [(number, span.weight) for number in ids]


def find_cut(tokens: Weighted, room: int, comma: int | None) -> int:
    """How many tokens the next chunk takes: all that fit, or up to a comma among the last few."""
    if len(tokens) <= room:
        return len(tokens)
    near = range(room - 1, room - 1 - COMMA_REACH, -1)
    return next((place + 1 for place in near if tokens[place][0] == comma), room)


def encode(
    model: Model, encoders: list[Encoder], chunked: list[list[Weighted]], count: int, skip: int
) -> dict[str, Any]:
    """The embeddings of a prompt that each encoder's tokenizer has cut, `count` chunks long."""
    layers = LAYERS[model.family]
    embeds, pooled = [], None
    for encoder, chunks in zip(encoders, chunked, strict=True):
        padded = chunks + [[]] * (count - len(chunks))
        hidden, pooled = run_encoder(encoder, layers, padded, skip, model.device)
        embeds.append(hidden.reshape(1, -1, hidden.shape[-1]))
    words: dict[str, Any] = {"prompt_embeds": torch.cat(embeds, dim=-1)}
    return words | ({} if pooled is None else {"pooled_prompt_embeds": pooled[:1]})


def run_encoder(
    encoder: Encoder, layers: Layers, chunks: list[Weighted], skip: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Hidden states [chunks, 77, width], weighted, and what an encoder that projects has pooled."""
    ids, weights = lay_out(encoder.tokenizer, chunks)
    needs_layers = skip > 0 or not layers.normed
    answer = encoder.network(ids.to(device), output_hidden_states=needs_layers)
    pooled = answer[0] if answer[0].dim() == 2 else None
    if not needs_layers:
        return weigh(answer[0], weights), pooled
    hidden = answer.hidden_states[-(skip + layers.last)]
    if layers.normed:
        hidden = getattr(encoder.network, "text_model", encoder.network).final_layer_norm(hidden)
    return weigh(hidden, weights), pooled


def lay_out(tokenizer: Any, chunks: list[Weighted]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token numbers and weights, [chunks, 77] each: start, tokens, end, padding."""
    start, end, padding = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    rows = []
    for chunk in chunks:
        row = [(start, 1.0), *chunk, (end, 1.0)]
        rows.append(row + [(padding, 1.0)] * (tokenizer.model_max_length - len(row)))
    ids = torch.tensor([[number for number, _ in row] for row in rows])
    return ids, torch.tensor([[weight for _, weight in row] for row in rows])


def weigh(hidden: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Embeddings [chunks, tokens, width] by weights [chunks, tokens]; each chunk keeps its mean."""
    if bool((weights == 1).all()):
        return hidden
    before = hidden.float()
    after = before * weights.to(hidden.device).unsqueeze(-1)
    means = before.mean(dim=(1, 2), keepdim=True), after.mean(dim=(1, 2), keepdim=True)
    restored = after * torch.where(means[1] == 0, 1.0, means[0] / means[1])
    return restored.to(hidden.dtype)
