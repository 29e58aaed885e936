"""The device of an engine, as Triton's word for it has it."""

from collections.abc import Mapping

import torch


def find_device(arguments: Mapping[str, str]) -> torch.device:
    """The device that Triton gave a model's instance, `arguments` being those of `initialize`.

    Raises RuntimeError, with what to do about it, for a GPU that cannot be used: silently on the
    CPU, pictures would take a hundred times as long; and a second engine under one model's name
    would get an arbitrary half of the operations.
    """
    if arguments.get("model_instance_kind") != "GPU":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RuntimeError(
            f"Triton gave this model a GPU that torch {torch.__version__} cannot use: install a "
            "CUDA build of torch that suits the driver, or start Triton without GPUs"
        )
    number = int(arguments.get("model_instance_device_id") or 0)
    if number > 0:
        raise RuntimeError(
            f"Triton gave this model GPU {number}, but the engine has the first one alone: start "
            "one Triton a GPU, and set CUDA_VISIBLE_DEVICES for each"
        )
    return torch.device("cuda", number)
