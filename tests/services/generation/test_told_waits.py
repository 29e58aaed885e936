"""What the database tells of a wait is what the rules tell, and who is refused is the same."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from libs.db.engine import Sessions
from libs.tiers.admission import admit
from libs.tiers.estimates import Calibration, Estimate, table_of_waits, tell, wait_in_table
from libs.tiers.fair_rules import TierRule
from libs.tiers.pool_loads import WaitingUser, load_of_tier
from services.generation.measures import ALL_MODELS
from services.generation.waiting import (
    RULES,
    STALE_AFTER,
    TIERS,
    PoolFacts,
    QueueOutlook,
    TierFacts,
    outlook_of_rows,
    show_wait,
    tables_for_acceptance,
)

SessionsOf = Callable[[str], Sessions]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TELL = text(
    "SELECT generation.tell_wait(CAST(:tables AS jsonb), :tier, :start, :own, :cost, :model)"
)


def facts_of(rule: TierRule, chance: random.Random) -> TierFacts:
    users = [
        WaitingUser(jobs, jobs * 5_000, 5_000, chance.uniform(0, 40_000))
        for jobs in (chance.randint(1, 30) for _ in range(chance.randint(0, 40)))
    ]
    load = load_of_tier(rule, users, ready=len(users))
    return TierFacts(
        waiting=load.waiting,
        waiting_cost=load.waiting_cost,
        ready=load.ready,
        arrivals=chance.uniform(0, 800),
        newcomers=chance.uniform(0, 400),
        ahead=load.ahead,
        factors=(chance.uniform(0.5, 1.5), chance.uniform(0.8, 4)),
        services={ALL_MODELS: (0.001, 0.002), "demo": (0.0005, 0.0004)},
        pool=PoolFacts(slots=4, running=4, running_cost=20_000, speed=0.0012),
    )


def random_outlook(seed: int, at: datetime = NOW) -> QueueOutlook:
    chance = random.Random(seed)
    facts = {name: facts_of(rule, chance) for name, rule in RULES.items()}
    rows = [(name, 1.0, at, known.model_dump(mode="json")) for name, known in facts.items()]
    return outlook_of_rows(rows)


@pytest.mark.parametrize("seed", range(4))
async def test_the_database_tells_what_the_rules_tell(sessions: SessionsOf, seed: int) -> None:
    chance, outlook = random.Random(seed), random_outlook(seed)
    tables = tables_for_acceptance(outlook, "refuse", NOW)
    refused = 0
    async with sessions("generation")() as session:
        for tier in TIERS * 12:
            start = chance.choice([0.0, 400.0, 1_000.0, chance.uniform(0, 300_000), 4e9])
            own, cost = chance.choice([0.0, chance.uniform(0, 200_000)]), chance.randint(1, 90_000)
            model = chance.choice(["demo", "another"])
            wait = wait_in_table(table_of_waits(outlook.pools[tier.gpu_pool], tier.name), start)
            own_seconds = own * 0.0012 / min(tier.running_jobs, 4)
            factors = Calibration(*outlook.facts_of(tier.name).factors)
            told = tell(wait, own_seconds, cost, factors, outlook.service(tier.name, model))
            values = {"tier": tier.name, "start": start, "own": own, "cost": cost, "model": model}
            said = await session.scalar(TELL, {"tables": tables, **values})
            assert_same(said, told, start)
            wanted = admit(told, tier.target_wait_p95_seconds) is not None
            assert said["refused"] == wanted
            refused += wanted
    assert 0 < refused < 60


def assert_same(said: dict[str, object], told: Estimate, start: float) -> None:
    shown = show_wait(told).model_dump()
    assert said["told"] == pytest.approx(shown, abs=0.101)  # halves round apart
    assert said["told"].keys() == shown.keys()  # type: ignore[attr-defined]
    assert said["reckoned"] == pytest.approx(told.reckoned)
    assert said["p90"] == pytest.approx(told.start_p90)
    assert said["virtual_start"] == start


async def test_nobody_is_refused_by_old_numbers_or_where_overload_is_accepted(
    sessions: SessionsOf,
) -> None:
    old = random_outlook(0, NOW - STALE_AFTER - timedelta(seconds=1))
    for tables in (
        tables_for_acceptance(old, "refuse", NOW),
        tables_for_acceptance(random_outlook(0), "accept", NOW),
        tables_for_acceptance(QueueOutlook({}), "refuse", NOW),
    ):
        values = {"tier": "enterprise", "start": 4e9, "own": 0.0, "cost": 9_000, "model": "demo"}
        async with sessions("generation")() as session:
            said = await session.scalar(TELL, {"tables": tables, **values})
        assert said["refused"] is False
    assert json.loads(tables)["tiers"]["free"]["seconds"][0] == 0.0
