"""Calls of a model's parts that pictures wait for, and many of one kind made as one.

A picture (`picture.py`) that calls a part is suspended; whoever drives it decides when the call is
made, on which thread, and with whose rows.
"""

from collections.abc import Callable, Hashable, MutableMapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakIdKeyDictionary

# The denoiser's inputs that stand for the whole batch, not for one row each.
SHARED_INPUTS = frozenset({"txt_ids", "img_ids"})


_contents: MutableMapping[torch.Tensor, Hashable] = WeakIdKeyDictionary()


class Kind(StrEnum):
    """`STEP` calls belong into the step loop and may share a batch; `SIDE` calls do not: text and
    image encoders, VAE."""

    STEP = "step"
    SIDE = "side"


@dataclass(frozen=True, eq=False)
class Call:
    """One call of `function`, the real method of a part; `owner` names that part of that model."""

    kind: Kind
    owner: Hashable
    function: Callable[..., Any] = field(repr=False)
    args: tuple[Any, ...] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)

    @property
    def rows(self) -> int:
        """The first tensor with axes is the sample in every network of diffusers."""
        return next(len(leaf) for leaf in self._tensors() if leaf.dim() > 0)

    def _tensors(self) -> list[torch.Tensor]:
        leaves = pytree.tree_leaves((self.args, self.kwargs))
        return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]

    def run(self) -> Any:
        """Make the call alone."""
        with torch.no_grad():
            return self.function(*self.args, **self.kwargs)


def batch_key(call: Call) -> Hashable:
    """Calls with equal keys can be made as one: same network, inputs that differ in rows alone."""
    leaves, structure = _leaves(call)
    return (call.owner, str(structure), tuple(_leaf_key(leaf) for leaf in leaves))


def run_together(calls: Sequence[Call], pad_to_rows: int = 0) -> list[Any]:
    """The answers of calls with one key, made as one of at least `pad_to_rows` rows.

    A single call that needs no padding is made just as it stands.
    """
    rows = [call.rows for call in calls]
    padding = max(0, pad_to_rows - sum(rows))
    if len(calls) == 1 and not padding:
        return [calls[0].run()]
    leaves = [_leaves(call) for call in calls]
    structure = leaves[0][1]
    columns = zip(*(one for one, _ in leaves), strict=True)
    args, kwargs = pytree.tree_unflatten([_join(column, padding) for column in columns], structure)
    with torch.no_grad():
        answer = calls[0].function(*args, **kwargs)
    return _split(answer, rows)


@dataclass(frozen=True)
class _Leaf:
    value: Any
    is_shared: bool


def _leaves(call: Call) -> tuple[list[_Leaf], Any]:
    """Every argument, timesteps as one FP32 number a row: networks embed them in FP32 anyway."""
    paths, structure = pytree.tree_flatten_with_path((call.args, call.kwargs))
    leaves, rows = [], call.rows
    for path, value in paths:
        shared = any(getattr(key, "key", None) in SHARED_INPUTS for key in path)
        if isinstance(value, torch.Tensor) and value.dim() == 0:
            value = value.float().expand(rows)
        leaves.append(_Leaf(value, shared))
    return leaves, structure


def _leaf_key(leaf: _Leaf) -> Hashable:
    if not isinstance(leaf.value, torch.Tensor):
        return repr(leaf.value)
    if leaf.is_shared:
        return _content(leaf.value)
    return (tuple(leaf.value.shape[1:]), leaf.value.dtype)


def _content(tensor: torch.Tensor) -> Hashable:
    """What an input for the whole batch holds: wide and tall pictures have as many places, but not
    the same ones. A picture gives the same tensor in every step, so it is read once."""
    if tensor not in _contents:
        values = tensor.float().cpu().contiguous().numpy().tobytes()
        _contents[tensor] = (tuple(tensor.shape), tensor.dtype, sha256(values).digest())
    return _contents[tensor]


def _join(column: tuple[_Leaf, ...], padding: int) -> Any:
    first = column[0]
    if first.is_shared or not isinstance(first.value, torch.Tensor):
        return first.value
    return pad(torch.cat([leaf.value for leaf in column]), padding)


def pad(tensor: torch.Tensor, padding: int) -> torch.Tensor:
    """The tensor with its first row repeated at the end, so many times."""
    if padding <= 0:
        return tensor
    return torch.cat([tensor, tensor[:1].expand(padding, *tensor.shape[1:])])


def _split(answer: Any, rows: list[int]) -> list[Any]:
    """Tensors of an answer row by row to their askers; sequences of tensors likewise."""
    leaves, structure = pytree.tree_flatten(answer)
    parts = [leaf[: sum(rows)].split(rows) for leaf in leaves]
    return [
        pytree.tree_unflatten([part[number] for part in parts], structure)
        for number in range(len(rows))
    ]
