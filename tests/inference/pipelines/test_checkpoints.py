"""A picture saved between any two calls of its scheduler, as bytes, goes on to the same bytes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from inference.pipelines.checkpoints import bind, pack, unpack
from inference.pipelines.drawing import begin
from inference.pipelines.loading import Model
from inference.pipelines.request import SCHEDULERS, Control, InvalidRequest
from inference.pipelines.steps import Moment
from tests.inference.drawn import finish
from tests.inference.sample_requests import request

CPU = torch.device("cpu")
MADE_BY = {"engine": "1", "libraries": {"torch": "2"}}


def moments_of(model: Model, wanted: Any) -> tuple[bytes, list[bytes]]:
    """The picture, and a checkpoint after every call of its scheduler."""
    picture = begin(model, wanted)
    call, blobs, calls = picture.advance(), [], 0
    while call is not None:
        call = picture.advance(call.run())
        if picture.steps.calls > calls:
            calls = picture.steps.calls
            moment = picture.steps.moment()
            assert moment is not None
            blobs.append(pack(moment, bind(wanted, (), MADE_BY)))
    return picture.result.tobytes(), blobs


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_saved_at_every_call_it_goes_on_to_the_same_bytes(model: Model, scheduler: str) -> None:
    wanted = request(scheduler=scheduler, steps=4)
    whole, blobs = moments_of(model, wanted)
    assert len(blobs) >= 4
    for calls, blob in enumerate(blobs, start=1):
        moment = unpack(blob, bind(wanted, (), MADE_BY), CPU)
        assert moment.calls == calls
        resumed = begin(model, wanted, resume=moment)
        assert finish(resumed).tobytes() == whole
        assert resumed.steps.done_before <= resumed.steps.done == 4


def test_a_checkpoint_is_small(model: Model) -> None:
    """Latents here are 4 KiB; what every scheduler of this kind has is not in it."""
    for scheduler in SCHEDULERS:
        _, blobs = moments_of(model, request(scheduler=scheduler, steps=3))
        assert all(len(blob) < 40_000 for blob in blobs)


def test_every_kind_of_value_comes_back_as_it_was() -> None:
    history: dict[str, Any] = {
        "tensor": torch.arange(6.0).reshape(2, 3).T,
        "scalar": torch.tensor(0.1, dtype=torch.float64),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "array": np.arange(3, dtype=np.float64) / 3,
        "number": np.float64(0.1),
        "list": [None, torch.zeros(1), [1, 0.1, "text", True]],
        "tuple": (1, 2),
        "large": float("inf"),
    }
    moment = Moment(3, torch.ones(1, 4), history, torch.Generator().get_state())
    blob = pack(moment, "x")
    back = unpack(blob, "x", CPU)
    assert back.calls == 3
    assert torch.equal(back.sample, moment.sample)
    assert torch.equal(back.generator, moment.generator)
    assert pack(back, "x") == blob
    for name in ("tensor", "scalar", "half"):
        assert torch.equal(back.history[name], history[name])
        assert back.history[name].dtype == history[name].dtype
    assert back.history["array"].dtype == np.float64
    assert np.array_equal(back.history["array"], history["array"])
    assert isinstance(back.history["number"], np.float64)
    assert back.history["number"] == 0.1
    assert back.history["list"][2] == [1, 0.1, "text", True]
    assert back.history["tuple"] == (1, 2)
    assert back.history["large"] == float("inf")


def test_what_json_cannot_hold_is_refused() -> None:
    moment = Moment(1, torch.ones(1), {"odd": {1, 2}}, torch.Generator().get_state())
    with pytest.raises(TypeError, match="cannot hold a set"):
        pack(moment, "x")


@pytest.mark.parametrize(
    "changes",
    [{"seed": 8}, {"steps": 5}, {"prompt": "a pear"}, {"scheduler": "ddim"}, {"strength": 0.5}],
)
def test_it_belongs_to_its_request(changes: dict[str, Any]) -> None:
    assert bind(request(), (), MADE_BY) != bind(request(**changes), (), MADE_BY)


def test_what_changes_no_picture_changes_no_binding() -> None:
    told = request(priority=4, progress_every=2, checkpoint_every=3, resume=0)
    assert bind(request(), (), MADE_BY) == bind(told, (b"x",), MADE_BY)


def test_it_belongs_to_its_build_and_files() -> None:
    with_image = request(task="img2img", image=0)
    moved = replace(with_image, image=1)
    control = Control("edges", 0, 1.0, 0.0, 1.0)
    assert bind(with_image, (b"a",), MADE_BY) == bind(moved, (b"checkpoint", b"a"), MADE_BY)
    assert bind(with_image, (b"a",), MADE_BY) != bind(with_image, (b"b",), MADE_BY)
    assert bind(with_image, (b"a",), MADE_BY) != bind(with_image, (b"a",), {"engine": "2"})
    controlled = request(controls=(control,))
    assert bind(controlled, (b"a",), MADE_BY) != bind(controlled, (b"b",), MADE_BY)


def test_one_of_something_else_is_refused(model: Model) -> None:
    _, (blob, *_) = moments_of(model, request())
    with pytest.raises(InvalidRequest, match="resume: the checkpoint belongs to another request"):
        unpack(blob, bind(request(seed=8), (), MADE_BY), CPU)


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_what_is_no_checkpoint_is_refused(model: Model, cut: int) -> None:
    _, (blob, *_) = moments_of(model, request())
    with pytest.raises(InvalidRequest, match="resume: the file is not a checkpoint"):
        unpack(blob[:cut], bind(request(), (), MADE_BY), CPU)
    with pytest.raises(InvalidRequest, match="resume: the file is not a checkpoint"):
        unpack(b"\x02\0\0\0\0\0\0\0{}", "x", CPU)


def test_a_file_that_did_not_come_along_is_named() -> None:
    with pytest.raises(InvalidRequest, match="image: there is no file 5, only 1 came along"):
        bind(request(task="img2img", image=5, resume=0), [b"checkpoint"], MADE_BY)
