"""What an error says about the device: too little memory, or nothing to be had from it any more."""

import gc
import threading

import torch

# cuBLAS words a lack of memory as "CUDA error: CUBLAS_STATUS_ALLOC_FAILED".
MEMORY_WORDS = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
LOST_WORDS = ("CUDA error", "device-side assert", "HIP error")

# Held while a CUDA graph is captured: nobody may wait for the whole device meanwhile, nor have
# torch's allocator give memory back.
capturing = threading.Lock()


class AcceleratorLost(Exception):
    """The device answers nothing any more; only a new process can use it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it may go well with less beside it; torch's CPU allocator raises RuntimeError."""
    is_said = any(words in str(error) for words in MEMORY_WORDS)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and is_said
    )


def is_lost(error: BaseException) -> bool:
    """Whether the device is: the error, or what it was raised from, says so, and the device says it
    again. Many errors of CUDA concern one call alone; a lost device raises at every later one."""
    if isinstance(error, AcceleratorLost):
        return True
    is_said = isinstance(error, RuntimeError) and any(words in str(error) for words in LOST_WORDS)
    if is_said and not is_out_of_memory(error):
        return not (torch.cuda.is_available() and _answers())
    return error.__cause__ is not None and is_lost(error.__cause__)


def _answers() -> bool:
    with capturing:
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            return False
    return True


def free_caches() -> None:
    """Give memory back that nobody uses. Suspended parts of a model refer to themselves, so that
    only the garbage collector lets them go."""
    gc.collect()
    if torch.cuda.is_available():
        with capturing:
            torch.cuda.empty_cache()
