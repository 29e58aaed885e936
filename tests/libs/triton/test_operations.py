"""Pausing, handing back and resuming in a real tritonserver, and models in and out of memory."""

import asyncio
from typing import Any

import pytest

from libs.triton.client import TritonClient
from libs.triton.contract import (
    AnyEvent,
    Checkpoint,
    Done,
    GenerationRequest,
    Paused,
    Progress,
    Resumed,
)
from libs.triton.errors import EngineBusy, HandedBack, InvalidGeneration

STEPS = 30
SLOTS = 4


def request(**changes: Any) -> GenerationRequest:
    small = {"model": "tiny", "prompt": "a red apple", "width": 64, "height": 64, "steps": STEPS}
    rest = {"guidance": 5.0, "scheduler": "dpmpp_2m", "seed": 7}
    return GenerationRequest.model_validate({**small, **rest, **changes})


async def collect(
    client: TritonClient,
    events: list[AnyEvent],
    wanted: GenerationRequest,
    request_id: str = "",
    files: tuple[bytes, ...] = (),
) -> None:
    async for event in client.generate(wanted, request_id, files):
        events.append(event)


async def draw(
    client: TritonClient, wanted: GenerationRequest, files: tuple[bytes, ...] = ()
) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    await collect(client, events, wanted, files=files)
    return events


def pixels_of(events: list[AnyEvent]) -> bytes:
    done = events[-1]
    assert isinstance(done, Done)
    return done.pixels.tobytes()


def steps_of(events: list[AnyEvent]) -> list[int]:
    return [event.step for event in events if isinstance(event, Progress)]


def checkpoints_of(events: list[AnyEvent]) -> list[Checkpoint]:
    return [event for event in events if isinstance(event, Checkpoint)]


async def until(events: list[AnyEvent], step: int) -> None:
    for _ in range(2_000):
        if step in steps_of(events):
            return
        await asyncio.sleep(0.005)
    pytest.fail(f"only {steps_of(events)}")


async def test_a_picture_that_resumes_at_a_checkpoint_has_the_same_bytes(
    triton_client: TritonClient,
) -> None:
    whole = await draw(triton_client, request(checkpoint_every=10))
    saved = checkpoints_of(whole)
    assert [(one.step, one.steps) for one in saved] == [(10, STEPS), (20, STEPS)]
    for one in saved:
        rest = await draw(triton_client, request(resume=0), (one.body,))
        assert steps_of(rest)[0] >= one.step and steps_of(rest)[-1] == STEPS
        assert pixels_of(rest) == pixels_of(whole)


async def test_a_checkpoint_of_another_request_is_refused(triton_client: TritonClient) -> None:
    (saved, _) = checkpoints_of(await draw(triton_client, request(checkpoint_every=10)))
    for other, file in ((request(seed=8, resume=0), saved.body), (request(resume=0), b"nonsense")):
        with pytest.raises(InvalidGeneration):
            await draw(triton_client, other, (file,))


async def test_a_drained_picture_comes_back_with_its_state_and_others_go_on(
    triton_client: TritonClient,
) -> None:
    whole = pixels_of(await draw(triton_client, request()))
    mine: list[AnyEvent] = []
    other: list[AnyEvent] = []
    drawing = asyncio.create_task(collect(triton_client, mine, request(), "mine"))
    going_on = asyncio.create_task(collect(triton_client, other, request(), "other"))
    await until(mine, 5)
    assert await triton_client.drain(["mine", "nobody"]) == 1
    with pytest.raises(HandedBack):
        await drawing
    (saved,) = checkpoints_of(mine)
    assert saved.step == steps_of(mine)[-1] < STEPS
    rest = await draw(triton_client, request(resume=0), (saved.body,))
    assert steps_of(rest)[0] >= saved.step
    await going_on
    assert pixels_of(rest) == pixels_of(other) == whole
    assert await triton_client.drain(["mine"]) == 0


async def test_something_urgent_pauses_what_is_not_and_changes_no_byte(
    triton_client: TritonClient,
) -> None:
    patient = [request(seed=seed, priority=9) for seed in range(SLOTS)]
    alone = [pixels_of(await draw(triton_client, one)) for one in patient]
    seen: list[list[AnyEvent]] = [[] for _ in patient]
    drawing = [
        asyncio.create_task(collect(triton_client, events, one))
        for events, one in zip(seen, patient, strict=True)
    ]
    await until(seen[0], 3)
    await draw(triton_client, request(priority=0, steps=5))
    await asyncio.gather(*drawing)
    turns = [event for events in seen for event in events if isinstance(event, Paused | Resumed)]
    assert [type(turn) for turn in turns[:2]] == [Paused, Resumed]
    assert turns[0].step == turns[1].step
    assert [pixels_of(events) for events in seen] == alone


async def test_models_come_into_memory_and_go(triton_client: TritonClient) -> None:
    assert await triton_client.load_model("tiny") >= 0
    assert "tiny" in (await triton_client.stats()).loaded
    assert await triton_client.load_model("tiny") == 0
    events: list[AnyEvent] = []
    drawing = asyncio.create_task(collect(triton_client, events, request()))
    await until(events, 1)
    stats = await triton_client.stats()
    assert stats.running + stats.waiting == 1
    with pytest.raises(EngineBusy):
        await triton_client.unload_model("tiny")
    await drawing
    assert await triton_client.unload_model("tiny")
    assert not await triton_client.unload_model("tiny")
    assert "tiny" not in (await triton_client.stats()).loaded
    with pytest.raises(InvalidGeneration, match="no-such-model"):
        await triton_client.load_model("no-such-model")


async def test_the_last_event_says_what_made_the_picture(triton_client: TritonClient) -> None:
    done = (await draw(triton_client, request(steps=1)))[-1]
    assert isinstance(done, Done)
    assert done.prompt_tokens > 0 and done.prompt_chunks == 1
    assert done.made_by
