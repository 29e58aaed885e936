"""Pictures drawn by ONNX Runtime, held against those that torch draws."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from inference.export.onnx_files import open_session
from inference.export.parts import unet_part
from inference.pipelines.calls import Call
from inference.pipelines.drawing import begin
from inference.pipelines.loading import Model, load_model, suspend_parts
from inference.pipelines.sharing import copy_sharing_weights
from inference.runners.choice import Choice
from inference.runners.exported import NoExport, OnnxRuntime
from inference.runners.runner import install, install_adapted
from tests.inference.drawn import draw, finish_together, step_call
from tests.inference.runners.conftest import LoadRun
from tests.inference.sample_requests import request


def far(one: Any, other: Any) -> int:
    """The greatest difference of a colour."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("changes", [{}, {"width": 96, "height": 48}, {"guidance": 1.0}])
def test_a_picture_is_that_of_torch(
    load_run: LoadRun, model: Model, changes: dict[str, Any]
) -> None:
    exported, usage = load_run("onnxruntime")
    wanted = request(**changes)
    before = usage.calls
    assert far(draw(exported, wanted), draw(model, wanted)) <= 1
    assert usage.calls - before == wanted.steps
    assert usage.eager == {}


def test_pictures_share_calls_as_before(load_run: LoadRun, model: Model) -> None:
    exported, usage = load_run("onnxruntime")
    wanted = [request(seed=seed, prompt=prompt) for seed, prompt in ((1, "a"), (2, "b c"), (3, ""))]
    before = usage.calls
    pictures = [begin(exported, one) for one in wanted]
    finish_together(pictures, pad_to_rows=8)
    assert usage.calls - before == wanted[0].steps
    for picture, one in zip(pictures, wanted, strict=True):
        assert far(picture.result, draw(model, one)) <= 1


def first_call(model: Model) -> Call:
    call = step_call(begin(model, request()))
    assert call is not None
    return call


def test_inputs_beyond_the_contract_go_to_torch(
    load_run: LoadRun, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    exported, usage = load_run("onnxruntime")
    residual = {"mid_block_additional_residual": torch.ones(2, 32, 8, 8)}
    answers = []
    with torch.no_grad(), caplog.at_level(logging.WARNING, logger="easel.engine"):
        for call in (first_call(exported), first_call(exported), first_call(model)):
            answers.append(call.function(*call.args, **{**call.kwargs, **residual})[0])
    assert torch.equal(answers[0], answers[2]) and torch.equal(answers[1], answers[2])
    assert dict(usage.eager) == {"the inputs mid_block_additional_residual": 2}
    assert len(caplog.records) == 1


def test_latents_that_the_export_cannot_halve_go_to_torch(load_run: LoadRun, model: Model) -> None:
    exported, usage = load_run("onnxruntime")
    answers = []
    with torch.no_grad():
        for call in (first_call(exported), first_call(model)):
            odd = call.args[0][:, :, :15]
            answers.append(call.function(odd, *call.args[1:], **call.kwargs)[0])
    assert answers[0].shape == (2, 4, 15, 16)
    assert torch.equal(answers[0], answers[1])
    assert dict(usage.eager) == {"latents of sides that are no multiples of 2": 1}


def test_an_export_of_another_model_is_never_used(models_dir: Path, exports: Path) -> None:
    def load_other() -> Model:
        other = load_model(models_dir / "tiny", torch.device("cpu"))
        other.denoiser.conv_out.weight.mul_(0.9)
        return other

    other = load_other()
    usage = install(other, "tiny", Choice("onnxruntime", exports, threads=1))
    assert draw(other, request()).tobytes() == draw(load_other(), request()).tobytes()
    assert (usage.calls, usage.computed_by) == (0, "eager")
    ((reason, calls),) = usage.eager.items()
    assert reason.startswith("it computes another model (relative difference 1")
    assert calls == 1 + request().steps


def test_adapted_copies_of_the_network_are_torch_s_own(load_run: LoadRun) -> None:
    exported, usage = load_run("onnxruntime")
    before = usage.calls
    parts = {**exported.components, "unet": copy_sharing_weights(exported.denoiser)}
    adapted = replace(exported, identity=(exported.identity, "lora"), components=parts)
    suspend_parts(adapted.identity, {"unet": parts["unet"]})
    assert install_adapted(adapted, "tiny", exported, usage) == "eager"
    draw(adapted, request())
    assert usage.calls == before
    assert dict(usage.eager) == {"adapted copies of the network": request().steps}
    computed_by = install_adapted(replace(exported), "tiny", exported, usage)
    assert computed_by.startswith("onnxruntime 1.")
    draw(exported, request())
    assert usage.calls == before + request().steps


def test_a_model_without_an_export_is_computed_by_torch(
    load_run: LoadRun, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="easel.engine"):
        alone, usage = load_run("onnxruntime", exports=tmp_path)
    assert "there is no exported unet below" in caplog.text
    assert draw(alone, request()).tobytes() == draw(model, request()).tobytes()
    assert dict(usage.eager) == {
        f"there is no exported unet below {tmp_path / 'tiny'}": request().steps
    }


CUDA, ON_CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def test_a_gpu_that_onnx_runtime_cannot_use_is_no_export(load_run: LoadRun, exports: Path) -> None:
    exported, _ = load_run("eager")
    part = unet_part(exported.denoiser)
    with pytest.raises(NoExport, match="install onnxruntime-gpu"):
        OnnxRuntime(part, exports / "tiny", 1, torch.device("cuda", 0))


def test_a_session_is_on_the_device_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, exports: Path
) -> None:
    """A build with everything lists TensorRT first."""
    asked: list[Any] = []
    there = ["TensorrtExecutionProvider", CUDA, ON_CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *_, providers: asked.append(providers)
    )
    open_session(exports, 1)
    open_session(exports, 1, torch.device("cuda", 1))
    settings = {"device_id": 1, "arena_extend_strategy": "kSameAsRequested"}
    assert asked == [[ON_CPU], [(CUDA, settings), ON_CPU]]
