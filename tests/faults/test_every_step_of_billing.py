"""Billing is killed with SIGKILL before every single step; nothing is lost and nothing is twice.

Each piece runs again and again, and dies before its first statement, then before its second, and so
on with every statement and every commit, until it gets through. After each death the customer is
seen as before the piece or as after it, never in between; at the end as a customer who was not
disturbed, to the last posting.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from libs.credits.audit import ledger_check
from libs.db.engine import Sessions
from libs.kernel.clock import utc_now
from libs.kernel.ids import new_id
from libs.testkit.lemon_squeezy.books import new_books
from libs.testkit.postgres import Database
from services.payment import rounds
from services.payment.inbox_worker import apply_pending
from tests.faults.step_runner import APPLICATION
from tests.faults.untold_events import EVENTS, live_until
from tests.services.generation.queue_of_jobs import REQUEST
from tests.services.payment.lives import at
from tests.services.payment.till import SMALL_PACK, Till, open_till
from tests.services.payment.visible_state import posted_state

SessionsOf = Callable[[str], Sessions]
ROOT = Path(__file__).parents[2]
BEGIN = at("2027-01-31 10:00")
MOST_STEPS = 80
STILL_THERE = "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name"


@dataclass(frozen=True)
class Stepper:
    """The process that is forked and killed, and the database that it works on."""

    process: subprocess.Popen[str]
    database: Database
    pools: SessionsOf

    async def run(self, piece: str, step: int, now: datetime, role: str, **rest: Any) -> str | None:
        """Kill a piece before its n-th step; the step, or None if it got through."""
        url = self.database.url(role)
        order = {"piece": piece, "step": step, "now": now.isoformat(), "url": url, **rest}
        answer = await asyncio.to_thread(self.exchange, json.dumps(order))
        died_before: str | None = json.loads(answer)
        return died_before

    def exchange(self, order: str) -> str:
        """One order, one answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    async def noticed(self, till: Till) -> None:
        """Wait until the server has rolled back what the dead process left."""
        for _ in range(400):
            if await till.rows(STILL_THERE, name=APPLICATION) == [(0,)]:
                return
            await asyncio.sleep(0.005)
        pytest.fail("the server does not notice the death")

    async def kill_at_every_step(
        self, till: Till, piece: str, *, expected: Any, role: str = "billing", **rest: Any
    ) -> list[str]:
        """Die before every step, and get through at last; the steps."""
        before, steps = await posted_state(till), []
        for step in count(1):
            assert step < MOST_STEPS
            died_before = await self.run(piece, step, till.clock(), role, **rest)
            await self.noticed(till)
            if died_before is None:
                break
            steps.append(died_before)
            assert await posted_state(till) in (before, expected), steps
        assert await posted_state(till) == expected
        return steps


@pytest.fixture
def pools(sessions: SessionsOf) -> SessionsOf:
    """One pool a role for all customers."""
    return cache(sessions)


@pytest.fixture(scope="module")
def runner() -> Iterator[subprocess.Popen[str]]:
    """A process that has imported everything."""
    argv, pipe = [sys.executable, "-m", "tests.faults.step_runner"], subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with subprocess.Popen(argv, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.communicate()
    assert process.returncode == 0


@pytest.fixture
def stepper(runner: subprocess.Popen[str], database: Database, pools: SessionsOf) -> Stepper:
    return Stepper(runner, database, pools)


async def customer(pools: SessionsOf, number: int) -> Till:
    return await open_till(pools, books=new_books(BEGIN, seed=f"store {number}"))


@pytest.mark.parametrize("case", EVENTS)
async def test_a_webhook_is_applied_once_wherever_the_worker_dies(
    stepper: Stepper, case: str
) -> None:
    bodies = []
    tills = [await customer(stepper.pools, number) for number in range(2)]
    for till in tills:
        await live_until(till, EVENTS[case])
        name = case.split()[0]
        bodies.append(next(event.body for event in till.told() if event.name == name))
    undisturbed, victim = tills
    await undisturbed.receive([bodies[0]])
    await apply_pending(undisturbed.desk)
    expected = await posted_state(undisturbed)
    await victim.receive([bodies[1]])
    steps = await stepper.kill_at_every_step(victim, "apply_webhooks", expected=expected)
    assert len(steps) >= 10
    assert steps[-2] == "COMMIT"  # one for all of it; then it dies while it looks for more
    await assert_the_ledger_adds_up(stepper)


async def test_a_webhook_is_kept_once_wherever_the_route_dies(stepper: Stepper) -> None:
    till = await customer(stepper.pools, 0)
    till.buy(SMALL_PACK)
    (event,) = till.told()
    steps = []
    for step in count(1):
        body = event.body.decode()
        died = await stepper.run("receive_webhook", step, till.clock(), "billing", body=body)
        await stepper.noticed(till)
        if died is None:
            break
        steps.append(died.split()[0])
        assert await till.inbox() == []
    assert steps == ["INSERT", "COMMIT"]
    assert await till.rows("SELECT body, state FROM billing.inbox") == [(event.body, "pending")]


async def test_a_month_of_a_year_is_given_once_wherever_the_worker_dies(stepper: Stepper) -> None:
    async def until_the_second_month(number: int) -> Till:
        till = await customer(stepper.pools, number)
        till.subscribe(1012)
        await till.settle()
        await till.spend(1_000_000)
        till.now = at("2027-02-28 10:00")
        return till

    undisturbed = await until_the_second_month(0)
    await rounds.settle_due_users(undisturbed.desk)
    expected = await posted_state(undisturbed)
    victim = await until_the_second_month(1)
    steps = await stepper.kill_at_every_step(victim, "give_month", expected=expected)
    assert len(steps) >= 10
    await assert_the_ledger_adds_up(stepper)


async def test_a_free_month_is_given_once_wherever_the_worker_dies(stepper: Stepper) -> None:
    async def until_the_second_month(number: int) -> Till:
        till = await customer(stepper.pools, number)
        till.now = at("2027-02-28 10:00")
        return till

    undisturbed = await until_the_second_month(0)
    await rounds.grant_free_months(undisturbed.desk)
    expected = await posted_state(undisturbed)
    victim = await until_the_second_month(1)
    await stepper.kill_at_every_step(victim, "give_free_month", expected=expected)
    await assert_the_ledger_adds_up(stepper)


ADD_JOB = """
    INSERT INTO generation.jobs (id, user_id, tier, pool, model, base, state, request,
        quoted_millicredits, attempt, worker, started_at)
    VALUES (:job, :user, 'free', 'standard', 'demo', 'demo', 'running', :request, 200000, 1, 'w',
        now())
"""
JOB = "SELECT state, captured_millicredits FROM generation.jobs WHERE user_id = :user"


async def test_a_job_is_charged_once_wherever_its_worker_dies(stepper: Stepper) -> None:
    async def running(number: int) -> tuple[Till, UUID]:
        till = await customer(stepper.pools, number)
        till.now = utc_now()
        job = new_id()
        await till.spend(200_000, hold_id=job)
        await till.write(ADD_JOB, job=job, request=json.dumps(REQUEST))
        return till, job

    undisturbed, job = await running(0)
    values = {"user": str(undisturbed.user_id), "job": str(job), "captured": 120_000}
    assert await stepper.run("settle_job", MOST_STEPS, utc_now(), "worker", **values) is None
    expected = await posted_state(undisturbed)
    victim, job = await running(1)
    values = {"user": str(victim.user_id), "job": str(job), "captured": 120_000}
    await stepper.kill_at_every_step(
        victim, "settle_job", expected=expected, role="worker", **values
    )
    assert await victim.rows(JOB) == [("succeeded", 120_000)]
    assert await victim.credits() == {"free": 380}
    await assert_the_ledger_adds_up(stepper)


async def assert_the_ledger_adds_up(stepper: Stepper) -> None:
    async with stepper.pools("billing").begin() as session:
        assert await ledger_check(session) == []
