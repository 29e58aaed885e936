"""Thousands of jobs while everything is killed: each ends, and is charged exactly once.

Workers run with a quick engine; all else is the platform's own. Three in ten attempts die with
their worker (SIGKILL); API, relay, Redis and PostgreSQL are killed in between. How many jobs is
said by EASEL_FAULT_JOBS; in the night: `EASEL_FAULT_JOBS=100000 ./easel test --no-test-timeouts
tests/faults/test_fault_run.py`.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dev.parts.program import LOOPBACK, free_port
from libs.credits.audit import CHECK
from libs.db.engine import build_engine, build_sessions
from libs.kernel.ids import derive_id
from libs.testkit.postgres import Database
from libs.testkit.tokens import TokenIssuer
from services.generation.repository.leases import LEASE_SECONDS
from services.generation.service.abandoned import clear_checkpoints
from services.generation.service.checkpoints import ROOT as CHECKPOINTS
from services.generation.settings import WorkerSettings, store_of
from services.model.app import build_app as build_model
from services.model.settings import ModelSettings
from tests.faults.customers import Customer, make_customers, order_everything
from tests.faults.killer import SHARE, Killer
from tests.faults.mortal_parts import Mortal, mortal_platform
from tests.stack.running import serving

JOBS = int(os.environ.get("EASEL_FAULT_JOBS", "2000"))
SECONDS_A_JOB = 0.2  # at most, on a busy machine
RECOVERY_SECONDS = LEASE_SECONDS + 2
MOST_IMAGES = 2

HOLDS_LEFT = "SELECT id FROM credits.holds"
LEASES_LEFT = "SELECT job_id FROM generation.leases"
PLACES_LEFT = "SELECT user_id FROM generation.flows WHERE head_id IS NOT NULL"
# Every job against what its hold became: held once, captured once or not at all, the rest released.
CHARGED_WRONGLY = """
    SELECT j.id, j.state, j.quoted_millicredits, j.captured_millicredits, t.*
    FROM generation.jobs j LEFT JOIN (
        SELECT reference, coalesce(sum(amount) FILTER (WHERE kind = 'hold'), 0) AS held,
            coalesce(sum(amount) FILTER (WHERE kind = 'capture'), 0) AS captured,
            coalesce(sum(amount) FILTER (WHERE kind = 'release'), 0) AS released
        FROM credits.transfers GROUP BY reference
    ) t ON t.reference = j.id
    WHERE t.held IS DISTINCT FROM j.quoted_millicredits
        OR t.captured IS DISTINCT FROM j.captured_millicredits
        OR t.released IS DISTINCT FROM j.quoted_millicredits - j.captured_millicredits
        OR (j.state IN ('failed', 'expired') AND t.captured > 0)
        OR (j.state = 'succeeded' AND t.captured <> j.quoted_millicredits)
"""
IMAGES_WRONG = """
    SELECT j.id, j.state, j.images_done, count(i.id) FROM generation.jobs j
    LEFT JOIN gallery.images i ON i.job_id = j.id
    GROUP BY j.id HAVING count(i.id) <> j.images_done
        OR (j.state = 'succeeded' AND j.images_done <> (j.request ->> 'num_images')::int)
"""
STATES = "SELECT state, count(*) AS count FROM generation.jobs GROUP BY state"
STORED = "SELECT object_key, thumbnail_key FROM gallery.images"
UNFINISHED = "SELECT id FROM generation.jobs WHERE state <> 'succeeded'"


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


async def customers_of(database: Database) -> list[Customer]:
    engines = [
        build_engine(url, application="test-customers")
        for url in (database.url("billing"), database.admin_url)
    ]
    try:
        return await make_customers(JOBS, *map(build_sessions, engines))
    finally:
        for engine in engines:
            await engine.dispose()


def assert_pictures_are_stored(platform: Mortal, rows: list[Any], unfinished: list[UUID]) -> None:
    """Every picture has its files; a file without a picture is of a job that did not succeed,
    under the key that a repeat would have overwritten."""
    names = (str(file.relative_to(platform.objects)) for file in platform.objects.rglob("*.*"))
    files = {name for name in names if not name.startswith(CHECKPOINTS)}
    known = {key for row in rows for key in (row["object_key"], row["thumbnail_key"])}
    assert known - files == set()
    left = {derive_id(job, index) for job in unfinished for index in range(MOST_IMAGES)}
    assert {UUID(Path(file).name.split(".")[0]) for file in files - known} <= left


async def assert_no_checkpoint_is_left(platform: Mortal) -> None:
    """What the killed left is found by the round of any worker."""
    told = {name.removeprefix("EASEL_").lower(): text for name, text in platform.settings.items()}
    database = {"database_url": platform.database.url("worker"), "metrics_port": "0"}
    settings = WorkerSettings.model_validate({**told, **database})
    store = store_of(settings, settings.s3_bucket_images)
    engine = build_engine(settings.database_url, application="test-rounds")
    await clear_checkpoints(build_sessions(engine), store)
    await engine.dispose()
    assert await store.list_keys(CHECKPOINTS) == []


async def assert_nothing_is_wrong(killer: Killer, ids: list[UUID]) -> dict[str, int]:
    """All jobs have ended, once each; how many in which state."""
    states = {row["state"]: int(row["count"]) for row in await killer.ask(STATES)}
    assert sum(states.values()) == len(ids) == len(set(ids)) == JOBS
    assert await killer.ask(CHARGED_WRONGLY) == []
    assert await killer.ask(IMAGES_WRONG) == []
    for leak in (HOLDS_LEFT, LEASES_LEFT, PLACES_LEFT, CHECK.text):
        assert await killer.ask(leak) == [], leak
    unfinished = [UUID(str(row["id"])) for row in await killer.ask(UNFINISHED)]
    await assert_no_checkpoint_is_left(killer.platform)
    assert_pictures_are_stored(killer.platform, await killer.ask(STORED), unfinished)
    return states


@pytest.fixture
def neighbours() -> dict[str, int]:
    """Ports of the token issuer and the model service."""
    return {"issuer": free_port(), "model": free_port()}


async def test_every_job_ends_and_is_charged_once_whatever_is_killed(
    tmp_path: Path, neighbours: dict[str, int], record_property: Callable[[str, object], None]
) -> None:
    issuer = TokenIssuer()
    urls = {name: f"http://{LOOPBACK}:{port}" for name, port in neighbours.items()}
    with mortal_platform(tmp_path, neighbours) as platform:
        settings = ModelSettings(
            port=0,
            database_url=platform.database.url("model"),
            jwks_url=f"{urls['issuer']}/jwks.json",
            redis_url=platform.settings["EASEL_REDIS_URL"],
        )
        with serving({"issuer": issuer.app, "model": build_model(settings)}, urls):
            customers = await customers_of(platform.database)
            killer, begin = Killer(platform, random.Random(7)), time.monotonic()
            ids, _ = await asyncio.gather(
                order_everything(platform.url, issuer, customers),
                killer.see_to_the_end(JOBS, begin + 120 + JOBS * SECONDS_A_JOB),
            )
            states = await assert_nothing_is_wrong(killer, ids)
    seconds = list(killer.recovered.values())
    share = len(killer.killed) / killer.attempts
    report = {
        "jobs": JOBS,
        "seconds": round(time.monotonic() - begin),
        "attempts": killer.attempts,
        "killed_share": round(share, 3),
        "recovery_p50": round(quantile(seconds, 0.5), 2),
        "recovery_p99": round(quantile(seconds, 0.99), 2),
        "recovery_max": round(max(seconds), 2),
        **states,
        **killer.deaths,
    }
    print(report)
    for name, value in report.items():
        record_property(name, value)
    assert len(seconds) == len(killer.killed)
    assert share >= SHARE - 0.03
    assert quantile(seconds, 0.99) <= RECOVERY_SECONDS
