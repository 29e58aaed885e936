"""Copies of a network over the same weights: what happens to a copy leaves the network alone."""

import copy

import torch

# `picture.suspend` sets these on a part, bound to that part: a copy starts without them.
SUSPENDED = ("forward", "encode", "decode")


def copy_sharing_weights(part: torch.nn.Module) -> torch.nn.Module:
    """A network with modules of its own over the same memory, not suspended.

    Its parameters are tensors of their own, so that `to` and `requires_grad_` on the copy, too,
    leave the original alone.
    """
    memo: dict[int, torch.Tensor] = {
        id(weight): torch.nn.Parameter(weight.detach(), requires_grad=False)
        for weight in part.parameters()
    }
    memo |= {id(buffer): buffer.detach() for buffer in part.buffers()}
    twin = copy.deepcopy(part, memo)
    for name in SUSPENDED:
        vars(twin).pop(name, None)
    return twin
