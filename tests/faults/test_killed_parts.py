"""Parts die; jobs, credits and pictures do not."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from dev import processes
from dev.parts.triton import SHARED_MEMORY, find_stubs, shm_prefix_of
from libs.credits.audit import CHECK
from tests.running_platform import REQUEST, Platform, User, wait_until

LONG = {"steps": 100, "num_images": 4}
STOP_SECONDS = 30.0
ATTEMPT = "SELECT attempt, worker FROM generation.jobs WHERE id = $1"


async def fetch(platform: Platform, query: str, *values: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(platform.database_url)
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()


def wait_for_progress(user: User, job: Any) -> None:
    assert any(name == "progress" for name, _ in user.events(job))


@contextmanager
def without(platform: Platform, part: str) -> Iterator[None]:
    """The part is away inside the block, and answers again after it."""
    platform.supervisor.stop([part], STOP_SECONDS)
    try:
        yield
    finally:
        platform.supervisor.start([part])


async def assert_charged_once(platform: Platform, user: User, job: Any) -> None:
    movements = user.get("/api/v1/credits/transactions")["items"]
    of_job = [movement for movement in movements if movement["reference"] == job["id"]]
    captures = [movement["captured_millicredits"] for movement in of_job]
    assert sum(captures) == job["captured_millicredits"]
    assert [m["kind"] for m in of_job].count("hold") == 1
    assert [m["kind"] for m in of_job].count("capture") == 1
    assert user.get("/api/v1/credits/balance")["held_millicredits"] == 0
    assert await fetch(platform, CHECK.text) == []


async def test_a_killed_workers_job_is_finished_by_another_and_charged_once(
    platform: Platform, user: User
) -> None:
    job = user.create(**LONG)
    wait_for_progress(user, job)
    (first,) = await fetch(platform, ATTEMPT, job["id"])
    os.kill(platform.pid("worker"), signal.SIGKILL)

    done = user.wait(job)
    assert (done["status"], done["images_done"]) == ("succeeded", 4)
    (last,) = await fetch(platform, ATTEMPT, job["id"])
    assert last["attempt"] > first["attempt"]
    assert last["worker"] != first["worker"]
    assert len(user.get("/api/v1/images")["items"]) == 4
    await assert_charged_once(platform, user, done)


async def test_a_worker_that_is_asked_to_end_hands_its_job_to_the_next(
    platform: Platform, user: User
) -> None:
    job = user.create(**LONG)
    wait_for_progress(user, job)
    os.kill(platform.pid("worker"), signal.SIGTERM)
    done = user.wait(job)
    assert done["status"] == "succeeded"
    await assert_charged_once(platform, user, done)


async def test_a_dead_triton_makes_jobs_wait_while_the_api_answers(
    platform: Platform, user: User
) -> None:
    running = user.create(**LONG)
    wait_for_progress(user, running)
    os.kill(platform.pid("triton"), signal.SIGKILL)
    with without(platform, "triton"):
        waiting = user.create(steps=4)
        assert user.get("/api/v1/plans")["plans"]
        wait_until(lambda: user.job(running)["status"] == "queued")
        assert user.job(waiting)["status"] == "queued"
        balance = user.get("/api/v1/credits/balance")
        quoted = running["quoted_millicredits"] + waiting["quoted_millicredits"]
        assert balance["held_millicredits"] == quoted
    for job in (running, waiting):
        done = user.wait(job)
        assert done["status"] == "succeeded"
        assert done["captured_millicredits"] == done["quoted_millicredits"]
    await assert_charged_once(platform, user, user.job(running))


def test_a_killed_triton_leaves_no_stub_behind(platform: Platform, user: User) -> None:
    before = set(stubs(platform))
    assert len(before) == 1
    os.kill(platform.pid("triton"), signal.SIGKILL)
    wait_until(lambda: len(stubs(platform)) == 1 and not before & set(stubs(platform)))
    assert user.wait(user.create(steps=4))["status"] == "succeeded"


def stubs(platform: Platform) -> list[int]:
    return find_stubs(shm_prefix_of(platform.state.triton))


def test_jobs_are_accepted_without_redis_and_run_when_it_is_back(
    platform: Platform, user: User
) -> None:
    with without(platform, "redis"):
        job = user.create(steps=4)
        assert user.get("/api/v1/credits/balance")["held_millicredits"] > 0
        assert user.job(job)["status"] == "queued"
    assert user.wait(job)["status"] == "succeeded"


def test_losing_all_of_redis_loses_no_job(platform: Platform, user: User) -> None:
    with without(platform, "redis"):
        job = user.create(steps=4)
        for file in (platform.state.data / "redis").rglob("*.aof"):
            file.unlink()
        for file in (platform.state.data / "redis").rglob("*.manifest"):
            file.unlink()
    assert user.wait(job)["status"] == "succeeded"


@pytest.mark.parametrize("part", ["postgres", "generation", "gateway", "relay", "s3"])
def test_a_killed_part_comes_back_and_the_platform_works(
    platform: Platform, user: User, part: str
) -> None:
    pid = platform.pid(part)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: platform.pid(part) not in (0, pid))
    wait_until(lambda: platform.easel("status").returncode == 0)
    done = user.wait(user.create(steps=4))
    assert done["status"] == "succeeded"
    assert len(user.picture(done["image_ids"][0])) > 100


def test_status_and_doctor_tell_which_part_is_down(platform: Platform) -> None:
    with without(platform, "gallery"):
        status = platform.easel("status")
        assert status.returncode == 1
        line = next(row for row in status.stdout.splitlines() if row.startswith("gallery"))
        assert line.split()[1] == "stopped"
        assert line.endswith("no")
        doctor = platform.easel("doctor")
        assert doctor.returncode == 1
        assert "gallery does not answer (stopped)" in doctor.stdout
        answer = httpx.get(f"{platform.url}/api/v1/images")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/service-unavailable")
    wait_until(lambda: platform.easel("status").returncode == 0)


def test_up_mends_what_a_killed_process_manager_left(platform: Platform, user: User) -> None:
    done = user.wait(user.create(steps=4))
    os.kill(platform.supervisor.pid(), signal.SIGKILL)
    assert platform.easel("status").returncode == 1
    started = platform.easel("up")
    assert started.returncode == 0, started.stderr
    assert user.job(done)["status"] == "succeeded"
    assert user.wait(user.create(steps=4))["status"] == "succeeded"


def test_data_survive_a_restart_and_nothing_is_left_running(platform: Platform, user: User) -> None:
    done = user.wait(user.create(**{**REQUEST, "steps": 4}))
    picture = user.picture(done["image_ids"][0])
    assert platform.easel("down").returncode == 0
    assert processes.marked(platform.state.mark) == []
    assert list(SHARED_MEMORY.glob(f"{shm_prefix_of(platform.state.triton)}*")) == []
    assert platform.easel("status").returncode == 1
    assert platform.easel("up").returncode == 0
    assert user.job(done)["status"] == "succeeded"
    assert user.picture(done["image_ids"][0]) == picture
