"""The function that accepts jobs decides as the gates do, for every plan."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from typing import get_args
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.auth.principals import Principal
from libs.db.engine import Sessions
from libs.db.single_statements import SingleStatements
from libs.kernel.clock import utc_now
from libs.kernel.problems import Problem
from libs.testkit.postgres import Database
from libs.tiers.catalogue import Base, Tier, load_catalogue
from libs.tiers.gates import (
    HourlyLimitReached,
    TierRequired,
    WaitingLimitReached,
    require_base,
    require_hourly_room,
    require_waiting_room,
)
from services.generation.ingredients import NO_SOURCES
from services.generation.schemas import GenerationRequest
from services.generation.service.acceptance import create_generation
from services.generation.service.waits import Waits
from services.model.client.contracts import ModelInfo
from tests.services.generation.queue_of_jobs import give_credits

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SessionsOf = Callable[[str], Sessions]
TIERS = load_catalogue().tiers
every_tier = pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.name)
MODEL = ModelInfo(
    id=uuid4(),
    slug="demo",
    name="Demo",
    type="checkpoint",
    base="demo",
    description="",
    default_width=64,
    default_height=64,
    default_steps=20,
    default_guidance=5.0,
    max_side=64,
)
ADD_JOBS = """
    INSERT INTO generation.jobs (id, user_id, tier, pool, model, base, state, request,
        quoted_millicredits, price_version, created_at, finished_at)
    SELECT gen_random_uuid(), :user, 'free', 'standard', 'demo', 'demo', :state, '{}', 1,
        '2026-11-01', now() - CAST(:age AS interval),
        CASE CAST(:state AS text) WHEN 'queued' THEN NULL ELSE now() END
    FROM generate_series(1, :count)
"""


class Door:
    """Where a customer of some plan asks."""

    def __init__(self, sessions: SessionsOf, statements: SingleStatements) -> None:
        self.sessions, self.statements, self.user_id = sessions, statements, uuid4()
        self.waits = Waits(sessions("generation"))

    async def sql(self, statement: str, **values: object) -> None:
        async with self.sessions("admin").begin() as session:
            await session.execute(text(statement), values)

    async def enter(self, tier: Tier) -> None:
        await self.sql(
            "INSERT INTO ops.entitlements (user_id, tier) VALUES (:user, :tier)",
            user=self.user_id,
            tier=tier.name,
        )
        await give_credits(self.sessions("billing"), self.user_id, 100_000_000)

    async def add_jobs(self, count: int, state: str, age: timedelta) -> None:
        await self.sql(ADD_JOBS, user=self.user_id, count=count, state=state, age=age)

    async def ask(self, base: Base = "demo", user_id: UUID | None = None) -> type[Problem] | None:
        """How the request is refused, or None."""
        try:
            await create_generation(
                self.statements,
                self.waits,
                Principal(user_id or self.user_id),
                GenerationRequest(model="demo", prompt="a red apple"),
                MODEL.model_copy(update={"base": base}),
                NO_SOURCES,
                repeat_key=None,
                clock=utc_now,
            )
        except Problem as problem:
            return type(problem)
        return None


@pytest.fixture
async def door(sessions: SessionsOf, database: Database) -> AsyncIterator[Door]:
    statements = SingleStatements(database.url("generation"), application="test")
    yield Door(sessions, statements)
    await statements.close()


def refusal_of(check: Callable[[], None]) -> type[Problem] | None:
    try:
        check()
    except Problem as problem:
        return type(problem)
    return None


@every_tier
async def test_bases(door: Door, tier: Tier) -> None:
    await door.enter(tier)
    answers = {base: await door.ask(base) for base in get_args(Base)}
    expected = {base: refusal_of(partial(require_base, tier, base)) for base in get_args(Base)}
    assert answers == expected
    assert (TierRequired in answers.values()) == (set(tier.bases) != set(get_args(Base)))


@every_tier
async def test_the_last_place_that_waits(door: Door, tier: Tier) -> None:
    await door.enter(tier)
    await door.add_jobs(tier.waiting_jobs - 1, "queued", 2 * HOUR)
    assert await door.ask() is None
    assert await door.ask() is WaitingLimitReached
    assert (
        refusal_of(lambda: require_waiting_room(tier, tier.waiting_jobs, expected_wait_seconds=1))
        is WaitingLimitReached
    )


@every_tier
async def test_the_last_request_of_an_hour(door: Door, tier: Tier) -> None:
    await door.enter(tier)
    limit = tier.creates_per_hour
    await door.add_jobs((limit or 2_000) - 1, "succeeded", 59 * MINUTE)
    await door.add_jobs(50, "succeeded", 61 * MINUTE)
    assert await door.ask() is None
    expected = None if limit is None else HourlyLimitReached
    assert await door.ask() is expected
    created = limit or 2_001
    check = refusal_of(lambda: require_hourly_room(tier, created, oldest_age_seconds=3_540))
    assert check is expected


async def test_who_has_no_plan_is_on_the_smallest(door: Door) -> None:
    await give_credits(door.sessions("billing"), door.user_id, 100_000_000)
    assert await door.ask("flux") is TierRequired
    assert await door.ask("demo") is None


async def test_another_users_jobs_do_not_count(door: Door) -> None:
    await door.enter(TIERS[0])
    await door.add_jobs(TIERS[0].waiting_jobs, "queued", MINUTE)
    neighbour = uuid4()
    await give_credits(door.sessions("billing"), neighbour, 1_000_000)
    assert await door.ask() is WaitingLimitReached
    assert await door.ask(user_id=neighbour) is None
