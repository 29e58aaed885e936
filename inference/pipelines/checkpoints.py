"""A picture between two steps as bytes: one safetensors blob, tensors and JSON, no code.

A checkpoint is bound to what must not change for the same picture to come out of it: the request
with its files, and whatever the caller adds (weights, build).
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from inference.pipelines.images import require_file
from inference.pipelines.request import InvalidRequest, Request
from inference.pipelines.steps import Moment

FORMAT = "easel-checkpoint-1"
# They change when or what is told of a picture, never the picture.
NOT_BOUND = ("priority", "progress_every", "checkpoint_every", "resume")
FILES = ("image", "mask")
PLAIN = (bool, int, float, str, type(None))
Tensors = dict[str, torch.Tensor]


def bind(request: Request, files: Sequence[bytes], made_by: Mapping[str, Any]) -> str:
    """A digest of what a checkpoint belongs to; files count by their content, not their place.

    Raises InvalidRequest for a file that did not come along.
    """
    fields = {name: value for name, value in asdict(request).items() if name not in NOT_BOUND}
    used = [fields, *fields["controls"], *fields["image_prompts"]]
    for where in used:
        for name in FILES:
            if where.get(name) is not None:
                where[name] = hashlib.sha256(require_file(files, where[name], name)).hexdigest()
    text = json.dumps([fields, made_by], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def pack(moment: Moment, binding: str) -> bytes:
    """The moment as a blob. Raises TypeError for a scheduler that keeps what JSON cannot hold."""
    tensors: Tensors = {}
    state = {
        "format": FORMAT,
        "binding": binding,
        "calls": moment.calls,
        "sample": _pack(moment.sample, tensors),
        "generator": _pack(moment.generator, tensors),
        "history": {name: _pack(value, tensors) for name, value in moment.history.items()},
    }
    return safetensors.torch.save(tensors, {"state": json.dumps(state)})


def unpack(blob: bytes, binding: str, device: torch.device) -> Moment:
    """The moment in a blob, its tensors on `device` where they were on one.

    Raises InvalidRequest for what is no checkpoint, or that of something else.
    """
    state, tensors = _read(blob)
    if state.get("format") != FORMAT:
        raise InvalidRequest("resume: the file is not a checkpoint of this engine")
    if state["binding"] != binding:
        raise InvalidRequest(
            "resume: the checkpoint belongs to another request, or another build of the engine or "
            "the model made it"
        )
    return Moment(
        calls=state["calls"],
        sample=_unpack(state["sample"], tensors, device),
        history={n: _unpack(value, tensors, device) for n, value in state["history"].items()},
        generator=_unpack(state["generator"], tensors, device),
    )


def _read(blob: bytes) -> tuple[dict[str, Any], Tensors]:
    try:
        tensors = safetensors.torch.load(blob)
        length = int.from_bytes(blob[:8], "little")
        state = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["state"])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest("resume: the file is not a checkpoint") from error
    return state, tensors


def _pack(value: Any, tensors: Tensors) -> Any:
    """JSON for a value; tensors go into `tensors` and are named."""
    match value:
        case torch.Tensor():
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().contiguous().clone()
            return {"tensor": name, "on_device": value.device.type != "cpu"}
        case np.ndarray():
            return {"array": _pack(torch.from_numpy(np.ascontiguousarray(value)), tensors)}
        case np.generic():
            return {"scalar": _pack(torch.from_numpy(np.array([value])), tensors)}
        case list() | tuple():
            return {type(value).__name__: [_pack(one, tensors) for one in value]}
        case _ if type(value) in PLAIN:
            return value
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _unpack(value: Any, tensors: Tensors, device: torch.device) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content), *rest) = value.items()
    match kind:
        case "tensor":
            return tensors[content].to(device) if dict(rest)["on_device"] else tensors[content]
        case "array":
            return _unpack(content, tensors, device).numpy()
        case "scalar":
            return _unpack(content, tensors, device).numpy()[0]
    sequences: dict[str, Callable[[list[Any]], Any]] = {"list": list, "tuple": tuple}
    return sequences[kind]([_unpack(one, tensors, device) for one in content])
