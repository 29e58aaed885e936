"""Deletion while jobs wait and run: they end first, and what they held is settled."""

from libs.db.transaction import transaction
from services.generation.models import Job
from services.generation.repository import leases
from services.generation.service.endings import finish_job
from services.user.service.erasure import BEGINS_AFTER
from tests.erasure.account_worker import AccountWorker
from tests.erasure.life import Life
from tests.erasure.search import tables_with
from tests.erasure.test_search import assert_balanced
from tests.stack.running import Stack

HELD = "SELECT count(*) FROM credits.holds WHERE user_id = :user"
CAPTURED = "SELECT sum(amount) FROM credits.transfers WHERE user_id = :user AND kind = 'capture'"


def cancel(life: Life, job: Job) -> None:
    """Its worker sees that it is not wanted any more, and charges the steps that were done."""

    async def close() -> None:
        async with life.stack.sessions("worker").begin() as session:
            assert await leases.renew(session, leases.claim_of(job))
        async with transaction(life.stack.sessions("worker"), life.id) as session:
            await finish_job(session, job, "cancelled", captured=500)

    life.stack.run(close())


def test_jobs_end_before_they_are_erased(stack: Stack, worker: AccountWorker) -> None:
    ada = Life(stack)
    ada.sign_up()
    for _ in range(3):
        ada.ask_for_a_picture()
    running = ada.claim()
    ada.delete()
    assert not worker.erase_step()  # what was begun before the deletion may still end
    worker.later(seconds=BEGINS_AFTER.total_seconds())
    for _ in range(3):
        assert worker.erase_step()
        assert worker.progress(ada.id).waits_for == "running jobs"
        assert worker.progress(ada.id).steps == {}
        worker.later(seconds=60)
    assert stack.sql(HELD, user=ada.id) == [(1,)]
    cancel(ada, running)
    worker.erase(ada.id)
    assert stack.sql(HELD, user=ada.id) == [(0,)]
    assert stack.sql(CAPTURED, user=ada.id) == [(500,)]
    assert tables_with(stack, ada.mark) == {}
    assert_balanced(stack)


def test_a_part_that_is_away_is_asked_again(stack: Stack, worker: AccountWorker) -> None:
    ada = Life(stack)
    ada.sign_up()
    ada.delete()
    worker.desk.gallery.base_url = "http://127.0.0.1:9"
    worker.later(seconds=BEGINS_AFTER.total_seconds())
    for _ in range(8):
        worker.relay()
        worker.erase_step()
        worker.later(seconds=2)
    progress = worker.progress(ada.id)
    assert set(progress.steps) == {"jobs"}
    assert progress.error is not None and progress.error.startswith("pictures: OwnerAway")
    worker.desk.gallery.base_url = stack.urls["gallery"]
    worker.later(minutes=10)
    worker.erase(ada.id)
    assert worker.progress(ada.id).error is None


def test_the_last_letter_is_waited_for_but_not_for_ever(
    stack: Stack, worker: AccountWorker
) -> None:
    ada = Life(stack)
    ada.sign_up()
    ada.delete()
    worker.later(seconds=BEGINS_AFTER.total_seconds())
    for _ in range(40):
        worker.relay()
        if not worker.erase_step():
            worker.later(seconds=30)
    assert worker.progress(ada.id).waits_for == "the last letter"
    assert set(tables_with(stack, ada.mark)) == {"ops.emails"}
    worker.later(hours=24)
    while worker.erase_step():
        pass
    assert worker.progress(ada.id).state in ("erased", "finished")
    assert tables_with(stack, ada.mark) == {}


def test_a_step_that_is_claimed_is_left_to_who_claimed_it(
    stack: Stack, worker: AccountWorker
) -> None:
    ada = Life(stack)
    ada.sign_up()
    ada.delete()
    worker.later(seconds=BEGINS_AFTER.total_seconds())
    claimed = "UPDATE identity.erasures SET next_try_at = now() + interval '2 minutes'"
    stack.sql(claimed + " WHERE user_id = :user", user=ada.id)
    assert not worker.erase_step()
    worker.later(minutes=3)
    worker.erase(ada.id)


def test_an_erasure_that_is_over_is_left_alone(stack: Stack, worker: AccountWorker) -> None:
    ada = Life(stack)
    ada.sign_up()
    ada.delete()
    worker.erase(ada.id)
    worker.look_again(ada.id)
    before = worker.progress(ada.id)
    worker.later(days=400)
    assert not worker.erase_step()
    assert worker.progress(ada.id) == before
