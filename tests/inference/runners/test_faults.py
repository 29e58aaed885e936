"""Which errors end the engine: those of a device that stays silent, and no others."""

import pytest
import torch

from inference.runners.faults import AcceleratorLost, is_lost, is_out_of_memory

ILLEGAL = "CUDA error: an illegal memory access was encountered"
CAPTURE = "CUDA error: operation failed due to a previous error during capture"
CUBLAS_MEMORY = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"


def test_without_a_device_to_ask_the_words_decide() -> None:
    assert is_lost(RuntimeError(ILLEGAL))
    assert is_lost(AcceleratorLost("gone"))
    assert not is_lost(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_lost(ValueError(ILLEGAL))
    assert not is_lost(torch.OutOfMemoryError("CUDA error: out of memory"))


def test_what_it_was_raised_from_counts() -> None:
    outer = ValueError("the weights could not be read")
    outer.__cause__ = RuntimeError(ILLEGAL)
    assert is_lost(outer)


def test_a_full_memory_in_the_words_of_cublas_is_no_loss() -> None:
    assert is_out_of_memory(RuntimeError(CUBLAS_MEMORY))
    assert not is_lost(RuntimeError(CUBLAS_MEMORY))


@pytest.mark.parametrize(("stays_silent", "words"), [(True, ILLEGAL), (False, CAPTURE)])
def test_a_device_that_answers_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, stays_silent: bool, words: str
) -> None:
    def synchronize() -> None:
        if stays_silent:
            raise RuntimeError(words)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    assert is_lost(RuntimeError(words)) is stays_silent
