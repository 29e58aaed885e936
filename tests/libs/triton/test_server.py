"""The model repository in a real tritonserver, through the client."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from dev.parts.program import LOOPBACK, answers_http, free_port
from dev.parts.triton import find_stubs
from libs.testkit.triton import TritonServer, serving
from libs.triton.client import TritonClient
from libs.triton.contract import AnyEvent, Done, GenerationRequest, Picture, Progress, Started
from libs.triton.errors import (
    ControlRefused,
    EngineUnhealthy,
    InvalidGeneration,
    ServerDraining,
    ServerUnavailable,
)

LONG_STEPS = 150
SERVERS = 3


def request(**changes: Any) -> GenerationRequest:
    small = {"model": "tiny", "prompt": "a red apple", "width": 64, "height": 64, "steps": 6}
    rest = {"guidance": 5.0, "scheduler": "euler", "seed": 7}
    return GenerationRequest.model_validate({**small, **rest, **changes})


async def events_of(client: TritonClient, **changes: Any) -> list[AnyEvent]:
    return [event async for event in client.generate(request(**changes))]


async def draw(client: TritonClient, **changes: Any) -> Picture:
    last = (await events_of(client, **changes))[-1]
    assert isinstance(last, Done)
    return last.pixels


def get(url: str) -> str:
    with urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def metric(text: str, name: str) -> float:
    """The value of the one sample that starts with `name`; 0 if it is not there yet."""
    lines = [line for line in text.splitlines() if line.startswith(name)]
    return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0


async def test_steps_previews_and_the_picture_arrive_in_order(triton_client: TritonClient) -> None:
    events = await events_of(triton_client, steps=6, progress_every=2)
    assert isinstance(events[0], Started)
    progress = events[1:-1]
    assert [event.step for event in progress if isinstance(event, Progress)] == [1, 2, 3, 4, 5, 6]
    previews = {
        event.step: event.preview.shape
        for event in progress
        if isinstance(event, Progress) and event.preview is not None
    }
    assert previews == {2: (16, 16, 3), 4: (16, 16, 3)}
    last = events[-1]
    assert isinstance(last, Done)
    assert last.pixels.shape == (64, 64, 3)
    assert last.pixels.dtype == np.uint8
    assert last.pixels.std() > 1
    assert last.seconds.steps > 0


async def test_the_same_seed_is_the_same_bytes_beside_other_jobs(
    triton_client: TritonClient,
) -> None:
    alone = await draw(triton_client, seed=3, scheduler="euler_a")
    assert (await draw(triton_client, seed=3, scheduler="euler_a")).tobytes() == alone.tobytes()
    crowd = await asyncio.gather(
        *(draw(triton_client, seed=seed, scheduler="euler_a") for seed in (3, 4, 5)),
        draw(triton_client, seed=9, guidance=1.0),
    )
    assert crowd[0].tobytes() == alone.tobytes()
    assert crowd[1].tobytes() != alone.tobytes()


async def test_closing_the_generator_frees_the_slot(
    triton_server: TritonServer, triton_client: TritonClient
) -> None:
    before = cancelled_jobs(triton_server)
    async with aclosing(triton_client.generate(request(steps=LONG_STEPS))) as events:
        async for event in events:
            if isinstance(event, Progress) and event.step == 3:
                break
    await assert_slot_is_freed(triton_server, cancelled=before + 1)


async def test_cancelling_the_task_frees_the_slot(
    triton_server: TritonServer, triton_client: TritonClient
) -> None:
    before = cancelled_jobs(triton_server)
    task = asyncio.create_task(events_of(triton_client, steps=LONG_STEPS))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_slot_is_freed(triton_server, cancelled=before + 1)


def cancelled_jobs(server: TritonServer) -> float:
    return metric(get(server.engine_metrics_url), 'easel_engine_jobs_total{outcome="cancelled"}')


async def assert_slot_is_freed(server: TritonServer, cancelled: float) -> None:
    for _ in range(100):
        if cancelled_jobs(server) == cancelled:
            break
        await asyncio.sleep(0.02)
    assert cancelled_jobs(server) == cancelled
    assert metric(get(server.engine_metrics_url), "easel_engine_running_jobs") == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "nothing"}, "unknown model 'nothing'"),
        ({"width": 60}, "width must be a multiple of 8"),
        ({"height": 1024}, "at most 256 pixels"),
    ],
)
async def test_a_request_that_no_one_can_draw_is_invalid(
    triton_client: TritonClient, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidGeneration, match=words):
        await events_of(triton_client, **changes)


async def test_a_request_outside_the_contract_is_invalid(triton_client: TritonClient) -> None:
    wrong = request().model_copy(update={"scheduler": "karras"})
    with pytest.raises(InvalidGeneration, match="scheduler must be one of euler"):
        [event async for event in triton_client.generate(wrong)]


async def test_the_server_and_its_model_are_ready(
    triton_server: TritonServer, triton_client: TritonClient
) -> None:
    await draw(triton_client)
    assert await triton_client.is_ready()
    assert await triton_client.is_alive()
    served = metric(
        get(triton_server.metrics_url),
        'nv_inference_request_success{model="diffusion",version="1"}',
    )
    assert served >= 1


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    client = TritonClient(f"{LOOPBACK}:{free_port()}")
    assert not await client.is_ready()
    with pytest.raises(ServerUnavailable):
        await events_of(client)
    await client.close()


def test_loading_models_needs_the_key(triton_server: TritonServer) -> None:
    url = f"http://{LOOPBACK}:{triton_server.place.ports.http}/v2/repository/models/diffusion/load"
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(url, data=b"{}", method="POST"), timeout=5)
    assert refused.value.code == 403


Story = Callable[[TritonServer, TritonClient], Awaitable[None]]


async def outlive(story: Story, folders: pytest.TempPathFactory, models_dir: Path) -> None:
    """An engine's death, on a server of its own.

    Triton itself sometimes crashes when its engine is killed under it: then whoever supervises it
    starts it anew, here too. What goes wrong on a server that lives is a failure.
    """
    for attempt in range(SERVERS):
        with serving(folders.mktemp("triton"), models_dir) as server:
            client = server.client()
            try:
                return await story(server, client)
            except (ServerUnavailable, ServerDraining):
                await asyncio.sleep(2)
                url = f"http://{LOOPBACK}:{server.place.ports.http}/v2/health/live"
                if answers_http(url) or attempt == SERVERS - 1:
                    raise
            finally:
                await client.close()


async def test_an_engine_that_died_is_noticed_and_loaded_anew(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path
) -> None:
    async def story(server: TritonServer, client: TritonClient) -> None:
        assert not await client.reload()
        task = asyncio.create_task(events_of(client, steps=LONG_STEPS))
        await asyncio.sleep(0.3)
        for stub in find_stubs(server.place.shm_prefix):
            os.kill(stub, signal.SIGKILL)
        with pytest.raises(EngineUnhealthy):
            await asyncio.wait_for(task, timeout=30)
        keyless = TritonClient(server.url)
        with pytest.raises(ControlRefused):
            await keyless.reload()
        await keyless.close()
        reloads = await asyncio.gather(client.reload(), client.reload())
        assert list(reloads) == [True, False]
        assert (await draw(client)).shape == (64, 64, 3)

    await outlive(story, tmp_path_factory, models_dir)


async def test_an_engine_that_hangs_is_loaded_anew(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path
) -> None:
    async def story(server: TritonServer, client: TritonClient) -> None:
        await draw(client)
        impatient = TritonClient(
            server.url, control_key=server.place.control_key, stall_seconds=3.0
        )
        hanging = find_stubs(server.place.shm_prefix)
        for stub in hanging:
            os.kill(stub, signal.SIGSTOP)
        assert await impatient.reload()
        await impatient.close()
        assert (await draw(client)).shape == (64, 64, 3)
        for stub in hanging:
            os.kill(stub, signal.SIGKILL)

    await outlive(story, tmp_path_factory, models_dir)
