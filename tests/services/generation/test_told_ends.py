"""What webhooks are told of jobs: every end, once it is committed."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from libs.db.engine import build_engine
from libs.db.transaction import transaction
from libs.jobs.celery_app import build_celery
from libs.testkit.postgres import Database
from libs.testkit.tokens import TokenIssuer
from libs.webhooks.sending import Post
from services.generation.service.endings import finish_job
from services.generation.settings import RelaySettings
from services.generation.sweeper import Sweeper, expire_jobs
from services.generation.webhook_rounds import send_webhooks_forever
from tests.libs.webhooks.receiver import Receiver
from tests.services.callers import Caller, named_fields, new_caller
from tests.services.generation.conftest import SessionsOf
from tests.services.generation.queue_of_jobs import REQUEST as STORED
from tests.services.generation.queue_of_jobs import Queue
from tests.services.generation.webhook_shop import deliver, make

JOBS = "/api/v1/generations"
REQUEST = {"model": "demo", "prompt": "a red apple", "seed": 7}


async def test_a_job_names_a_webhook_of_its_owners_alone(
    ada: Caller, api: httpx.AsyncClient, issuer: TokenIssuer, shop: Receiver, post: Post
) -> None:
    strangers = await make(new_caller(api, issuer), shop)
    for named in (strangers["id"], str(uuid4())):
        refused = await ada.post(JOBS, {**REQUEST, "webhook_id": named})
        assert named_fields(refused) == ["body.webhook_id"]
    quiet = await make(ada, shop, all_jobs=False)
    silent = (await ada.post(JOBS, REQUEST)).json()["id"]
    told = (await ada.post(JOBS, {**REQUEST, "webhook_id": quiet["id"]})).json()
    assert told["request"]["webhook_id"] == quiet["id"]
    for job in (silent, told["id"]):
        await ada.post(f"{JOBS}/{job}/cancel")
    await deliver(post)
    (got,) = shop.received
    assert got.document["type"] == "generation.cancelled"
    assert got.document["data"]["generation_id"] == told["id"]


async def test_every_way_of_ending_tells(
    ada: Caller, shop: Receiver, post: Post, queue: Queue, redis: Redis, redis_url: str
) -> None:
    await make(ada, shop)
    await queue.enter(ada.id, request={**STORED, "num_images": 2})
    job = await queue.claim()
    assert job is not None
    async with transaction(queue.workers, ada.id) as session:
        error = {"slug": "engine-failed", "detail": "no picture"}
        await finish_job(session, job, "failed", error=error)
    late = await queue.enter(ada.id, expires_in=timedelta(seconds=-1))
    await expire_jobs(Sweeper(queue.relay, redis, build_celery(redis_url)))
    assert await deliver(post) == 2
    told = {got.document["type"]: got.document["data"] for got in shop.received}
    assert told["generation.expired"]["generation_id"] == str(late)
    assert told["generation.failed"] == {
        "generation_id": str(job.id),
        "status": "failed",
        "model": "demo",
        "image_ids": [],
        "quoted_millicredits": 1_000,
        "captured_millicredits": 0,
        "captured_credits": "0",
        "error": error,
    }


async def test_an_end_that_rolls_back_tells_nobody(
    ada: Caller, shop: Receiver, queue: Queue, sessions: SessionsOf
) -> None:
    await make(ada, shop)
    await queue.enter(ada.id)
    job = await queue.claim()
    assert job is not None
    with pytest.raises(LookupError):
        async with transaction(queue.workers, ada.id) as session:
            await finish_job(session, job, "failed")
            raise LookupError
    async with sessions("admin")() as session:
        assert await session.scalar(text("SELECT count(*) FROM webhooks.deliveries")) == 0


async def test_the_relay_sends_as_soon_as_a_job_has_ended(
    ada: Caller, shop: Receiver, database: Database, redis_url: str
) -> None:
    await make(ada, shop)
    settings = RelaySettings(
        database_url=database.url("relay"),
        redis_url=redis_url,
        metrics_port=0,
        webhooks_allow_private=True,
    )
    engine = build_engine(settings.database_url, application="test-webhooks")
    sending = asyncio.create_task(send_webhooks_forever(settings, engine))
    job = UUID((await ada.post(JOBS, REQUEST)).json()["id"])
    await ada.post(f"{JOBS}/{job}/cancel")
    await shop.wait_for(1)
    assert shop.received[0].document["data"]["generation_id"] == str(job)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await engine.dispose()
