"""What pictures are reckoned to take, and what is done when that is too much."""

from pathlib import Path
from typing import Any

import pytest
import torch

from inference.engine.events import Failure
from inference.engine.memory import (
    CALL_BYTES,
    MIB,
    Needs,
    bytes_together,
    find_budget,
    picture_needs,
    weight_bytes,
)
from inference.engine.shelf import stored_elements
from inference.pipelines.loading import Model, load_model
from tests.inference.drawn import draw
from tests.inference.engine.conftest import MakeEngine
from tests.inference.engine.denoisers import Gate, load_around
from tests.inference.engine.peaks import peak_bytes
from tests.inference.engine.recorder import operate, submit, until
from tests.inference.sample_requests import request

CPU = torch.device("cpu")


@pytest.mark.parametrize("side", [64, 128, 256])
@pytest.mark.parametrize("rows", [1, 2, 8])
def test_a_step_takes_no_more_than_was_reckoned(model: Model, side: int, rows: int) -> None:
    cells, width = side // model.vae_scale, model.denoiser.config.cross_attention_dim
    sample, words = torch.zeros(rows, 4, cells, cells), torch.zeros(rows, 77, width)
    measured = peak_bytes(lambda: model.denoiser(sample, torch.zeros(rows), words))
    reckoned = rows * picture_needs(model, request(width=side, height=side)).row
    assert 0.4 * reckoned <= measured <= reckoned + CALL_BYTES


@pytest.mark.parametrize("side", [64, 256])
def test_the_vae_takes_no_more_than_was_reckoned(model: Model, side: int) -> None:
    cells, vae = side // model.vae_scale, model.components["vae"]
    reckoned = picture_needs(model, request(width=side, height=side)).side
    decoded = peak_bytes(lambda: vae.decode(torch.zeros(1, 4, cells, cells)))
    encoded = peak_bytes(lambda: vae.encode(torch.zeros(1, 3, side, side)))
    for measured in (decoded, encoded):
        assert 0.4 * reckoned <= measured <= reckoned + CALL_BYTES


def test_only_guided_pictures_have_two_rows(model: Model) -> None:
    assert picture_needs(model, request(guidance=1.0)).rows == 1
    assert picture_needs(model, request(guidance=1.1)).rows == 2


def test_pictures_together_take_one_batch_and_one_side_call() -> None:
    one = Needs(row=100, rows=2, side=1000, kept=10)
    calls = 2 * CALL_BYTES
    assert bytes_together([], ()) == calls
    assert bytes_together([one], ()) == 200 + 1000 + 10 + calls
    assert bytes_together([one] * 3, ()) == 200 + 1000 + 30 + calls
    assert bytes_together([one] * 3, (8,)) == 800 + 1000 + 30 + calls
    assert bytes_together([one] * 5, (8,)) == 1000 + 1000 + 50 + calls
    single = Needs(row=100, rows=1, side=1000, kept=10, is_single=True)
    assert bytes_together([single], (8,)) == 400 + 1000 + 10 + calls
    assert bytes_together([single] * 4, (8,)) == 400 + 1000 + 40 + calls


def test_weights_are_counted_once_and_known_before_they_are_loaded(
    model: Model, models_dir: Path
) -> None:
    counted = sum(weight_bytes(model.components).values())
    assert sum(weight_bytes({**model.components, "again": model.denoiser}).values()) == counted
    assert 0.95 * counted <= 4 * stored_elements(models_dir / "tiny") <= counted


def test_the_budget_is_as_set_or_what_the_machine_has() -> None:
    assert find_budget(3, CPU) == 3 * MIB
    assert 10 * MIB < find_budget(0, CPU) < 1 << 45


@pytest.mark.parametrize(("free", "budget"), [(1000, 900), (400, 380)])
def test_what_others_have_of_an_accelerator_is_not_ours(
    monkeypatch: pytest.MonkeyPatch, free: int, budget: int
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 1000))
    assert find_budget(0, torch.device("cuda", 0)) == budget
    assert find_budget(3, torch.device("cuda", 0)) == 3 * MIB


def test_what_can_never_fit_is_refused_with_both_figures(make_engine: MakeEngine) -> None:
    engine = make_engine(memory_mib=8, preload="tiny")
    refused = submit(engine, width=256, height=256).wait()
    assert refused.failure is not None
    assert refused.failure[0] is Failure.INVALID_ARG
    assert "a picture of 256 x 256 pixels needs" in refused.failure[1]
    assert refused.failure[1].endswith("more than the 8 MiB that there are")
    assert refused.events == []
    assert submit(engine, steps=1).wait().image is not None


def test_a_model_that_can_never_fit_is_refused_unloaded(make_engine: MakeEngine) -> None:
    engine = make_engine(memory_mib=1)
    refused = submit(engine).wait()
    assert refused.failure is not None and refused.failure[0] is Failure.INVALID_ARG
    assert "the model 'tiny' needs 2 MiB of memory, more than the 1 MiB" in refused.failure[1]
    assert operate(engine, "stats").events[-1]["models"] == {}
    load = operate(engine, "load", model="tiny")
    assert load.failure is not None and load.failure[0] is Failure.INVALID_ARG


def test_what_fits_later_waits(make_engine: MakeEngine, model: Model) -> None:
    """Two pictures of 128 pixels in one batch are too much here, one after the other are not."""
    needs = picture_needs(model, request(width=128, height=128))
    weights = sum(weight_bytes(model.components).values())
    both = weights + bytes_together([needs, needs], (2, 4))
    gate = Gate()
    engine = make_engine(
        memory_mib=(both - 1) // MIB, batch_rows="2,4", load=load_around(gate), preload="tiny"
    )
    first, second = (submit(engine, width=128, height=128, steps=3, seed=n) for n in range(2))
    gate.let(1)
    until(lambda: first.steps == [1])
    small = submit(engine, steps=1)
    assert operate(engine, "stats").events[-1]["waiting"] == 2
    gate.open()
    assert first.wait().ended_at < second.wait().ended_at
    assert small.wait().image is not None  # it came after one that waited for room: not before it
    assert set(gate.rows) == {2}
    assert second.image is not None
    expected = draw(model, request(width=128, height=128, steps=3, seed=1))
    assert second.image.tobytes() == expected.tobytes()


def test_the_model_that_was_used_longest_ago_leaves_for_another(make_engine: MakeEngine) -> None:
    engine = make_engine(memory_mib=5, preload="tiny")
    assert submit(engine, steps=1, width=32, height=32).wait().image is not None
    other = submit(engine, model="tiny-v", steps=1, width=32, height=32).wait()
    assert other.image is not None, other.failure
    stats: dict[str, Any] = operate(engine, "stats").events[-1]
    loaded = {name for name, model in stats["models"].items() if model["bytes"]}
    assert loaded == {"tiny-v"}
    assert stats["memory"]["used"] <= stats["memory"]["budget"] == 5 * MIB
    assert engine.metrics.registry.get_sample_value("easel_engine_model_unloads_total") == 1
    again = submit(engine, steps=1, width=32, height=32).wait()
    assert again.image is not None
    assert again.events[-1]["seconds"]["load"] > 0


def test_a_model_in_use_is_not_unloaded_for_another(make_engine: MakeEngine) -> None:
    gate = Gate()
    engine = make_engine(memory_mib=5, preload="tiny", load=load_around(gate))
    running = submit(engine, steps=4, width=32, height=32)
    gate.let(1)
    until(lambda: running.steps == [1])
    other = submit(engine, model="tiny-v", steps=1, width=32, height=32)
    later = submit(engine, steps=1, width=32, height=32)
    assert set(operate(engine, "stats").events[-1]["models"]) == {"tiny"}
    gate.open()
    recorders = [recorder.wait() for recorder in (running, other, later)]
    assert all(recorder.image is not None for recorder in recorders)
    ends = [recorder.ended_at for recorder in recorders]
    assert ends == sorted(ends)


def test_a_loaded_model_is_the_same_after_it_came_again(make_engine: MakeEngine) -> None:
    engine = make_engine(preload="tiny")
    before = submit(engine, steps=2).wait().image
    assert operate(engine, "unload", model="tiny").events[-1]["was_loaded"]
    after = submit(engine, steps=2).wait().image
    assert before is not None and after is not None and before.tobytes() == after.tobytes()
    alone = draw(load_model(engine.settings.models_dir / "tiny", CPU), request(steps=2))
    assert after.tobytes() == alone.tobytes()
