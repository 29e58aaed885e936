"""A runner that cannot compute a shape leaves it to torch, and goes on with the others."""

import logging
from typing import Any

import pytest
import torch

from inference.pipelines.loading import Model
from inference.runners.runner import Runner
from tests.inference.drawn import draw
from tests.inference.runners.conftest import LoadRun
from tests.inference.sample_requests import request

WIDE = {"width": 96, "height": 48}


class Failing:
    """A backend that raises `error` for wide latents."""

    def __init__(self, backend: Any, error: Exception) -> None:
        self.name, self.bytes, self.calls = backend.name, 0, 0
        self._backend, self._error = backend, error

    def predict(self, inputs: Any) -> torch.Tensor:
        answer: torch.Tensor
        if inputs["sample"].shape[-1] == 24:
            self.calls += 1
            raise self._error
        answer = self._backend.predict(inputs)
        return answer


def fail_with(model: Model, error: Exception) -> Failing:
    runner: Runner = model.denoiser.forward.__wrapped__.__self__
    runner.backend = failing = Failing(runner.backend, error)
    return failing


def test_a_new_shape_that_fails_is_computed_by_torch(
    load_run: LoadRun, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    exported, usage = load_run("onnxruntime")
    failing = fail_with(exported, RuntimeError("the capture failed\nbecause"))
    with caplog.at_level(logging.WARNING, logger="easel.engine"):
        drawn = draw(exported, request(**WIDE))
    assert drawn.tobytes() == draw(model, request(**WIDE)).tobytes()
    reason = "it fails for latents of [2, 4, 12, 24]: RuntimeError: the capture failed"
    assert dict(usage.eager) == {reason: request().steps}
    assert (failing.calls, len(caplog.records)) == (1, 1)
    before = usage.calls
    draw(exported, request())
    assert usage.calls == before + request().steps


@pytest.mark.parametrize("words", ["CUDA out of memory", "CUDA error: device-side assert"])
def test_a_lack_of_memory_or_of_the_device_says_nothing_of_the_shape(
    load_run: LoadRun, words: str
) -> None:
    exported, usage = load_run("onnxruntime")
    fail_with(exported, RuntimeError(words))
    for _ in range(2):
        with pytest.raises(RuntimeError, match=words):
            draw(exported, request(**WIDE))
    assert usage.eager == {}


def test_a_shape_that_was_computed_before_is_tried_again(load_run: LoadRun) -> None:
    exported, usage = load_run("onnxruntime")
    draw(exported, request(**WIDE))
    fail_with(exported, RuntimeError("the server is busy"))
    with pytest.raises(RuntimeError, match="busy"):
        draw(exported, request(**WIDE))
    assert usage.eager == {}


def test_a_device_that_is_lost_at_the_first_call_is_no_refusal(load_run: LoadRun) -> None:
    exported, _ = load_run("onnxruntime")
    runner: Runner = exported.denoiser.forward.__wrapped__.__self__
    runner.is_proven = False
    fail_with(exported, RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(RuntimeError, match="device-side"):
        draw(exported, request(**WIDE))
    assert runner.refusal == ""
