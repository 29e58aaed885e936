"""A call of a UNet as diffusers makes it, read as the plain tensors of its exported contract."""

from collections.abc import Mapping
from inspect import Signature
from typing import Any

import torch

from inference.export.parts import Part

Inputs = dict[str, torch.Tensor]


class Unsupported(Exception):
    """The call has something that only the network itself can take; the text says what."""


def read_inputs(
    part: Part, signature: Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Inputs:
    """The tensors of a call in the order of the contract, timesteps as one FP32 number a row.

    `signature` is that of the network's forward. Raises Unsupported.
    """
    bound = signature.bind(*args, **kwargs).arguments
    given = {name: value for name, value in bound.items() if value is not None}
    if given.pop("return_dict", True):
        raise Unsupported("an answer that is no tuple")
    added = given.pop("added_cond_kwargs", {})
    if not given.get("cross_attention_kwargs", True):
        del given["cross_attention_kwargs"]
    given |= {name: value for name, value in added.items() if value is not None}
    names = [tensor.name for tensor in part.inputs]
    if more := sorted(given.keys() - set(names)):
        raise Unsupported(f"the inputs {', '.join(more)}")
    if fewer := sorted(set(names) - given.keys()):
        raise Unsupported(f"no {', '.join(fewer)}")
    sample = given["sample"]
    timestep = torch.as_tensor(given["timestep"], dtype=torch.float32, device=sample.device)
    given["timestep"] = timestep.expand(len(sample))
    for tensor in part.inputs:
        _check_shape(part, tensor.name, tensor.dims, tuple(given[tensor.name].shape), len(sample))
    return {name: given[name] for name in names}


def _check_shape(
    part: Part, name: str, dims: tuple[int | str, ...], shape: tuple[int, ...], rows: int
) -> None:
    if len(shape) != len(dims) + 1 or shape[0] != rows:
        raise Unsupported(f"{name} of the shape {list(shape)}")
    for dim, size in zip(dims, shape[1:], strict=True):
        if isinstance(dim, int) and size != dim:
            raise Unsupported(f"{name} with {size} in place of {dim}")
        if dim in ("height", "width") and size % part.multiple:
            raise Unsupported(f"latents of sides that are no multiples of {part.multiple}")
