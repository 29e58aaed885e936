from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from libs.tiers.fair_queue import FairQueue
from libs.tiers.fair_rules import QueuedJob, TierRule
from libs.tiers.pool_loads import (
    GRID,
    PoolLoad,
    TierLoad,
    WaitingUser,
    bucket_users,
    load_of_queue,
    load_of_tier,
    served_before,
    work_ahead,
)

RULE = TierRule("pro", 50, 2, 360.0)
costs = st.integers(1_000, 3_000_000)


@st.composite
def waiting_users(draw: st.DrawFn) -> WaitingUser:
    """Users whose places lie on the grid, where the buckets lose nothing."""
    start, end = sorted(draw(st.tuples(st.sampled_from(GRID[:12]), st.sampled_from(GRID[:12]))))
    head = draw(costs)
    return WaitingUser(jobs=1 + (end > start), cost=head + end - start, head=head, lead=start)


def served(user: WaitingUser, virtual_start: float) -> float:
    """What start-time fair queueing has served of one user before a virtual start."""
    if virtual_start < user.lead:
        return 0.0
    return min(user.cost, user.head + virtual_start - user.lead)


@given(st.lists(waiting_users(), max_size=20))
def test_work_ahead_is_the_sum_of_what_each_user_is_served_before(users: list[WaitingUser]) -> None:
    ahead = work_ahead(bucket_users(users))
    assert ahead == tuple(sum(served(user, start) for user in users) for start in GRID)


@given(st.lists(waiting_users(), max_size=20), st.floats(0, 1e9))
def test_nobody_waits_for_more_than_all_of_it(users: list[WaitingUser], start: float) -> None:
    load = load_of_tier(RULE, users, ready=0)
    assert load.waiting_cost == sum(user.cost for user in users)
    assert 0 <= served_before(load, start) <= load.waiting_cost + 1e-6


def test_a_flooders_thousand_jobs_are_one_job_to_who_has_none() -> None:
    load = load_of_tier(RULE, [WaitingUser(1_000, 16_000_000, 16_000)], ready=1)
    assert served_before(load, 0) == 16_000
    assert served_before(load, 8_000) == 24_000
    assert load.mean_cost == 16_000


def test_who_was_served_just_now_stands_behind_a_newcomer() -> None:
    load = load_of_tier(RULE, [WaitingUser(3, 48_000, 16_000, lead=16_000)], ready=1)
    assert served_before(load, 0) == 0
    assert served_before(load, 16_000) == 16_000


def test_a_queue_in_memory_tells_its_load() -> None:
    queue = FairQueue([RULE], Counter())
    for number, user in enumerate(("ada", "ada", "ada", "eve")):
        queue.enter(QueuedJob(str(number), user, "pro", "demo", 2_000, 0.0))
    assert queue.choose(1.0) is not None
    load = load_of_queue(queue.tiers["pro"], queue.in_flight, arrivals=5.0, newcomers=4.0)
    assert (load.waiting, load.waiting_cost, load.ready) == (3, 6_000, 2)
    # eve's first job starts now; ada has had one, and starts again 2,000 later
    assert (load.ahead[0], served_before(load, 2_000)) == (2_000, 4_000)
    assert (load.arrivals, load.newcomers) == (5.0, 4.0)


def test_slots_are_free_where_everybody_who_may_run_runs() -> None:
    waiting = TierLoad(RULE, waiting=9, waiting_cost=9_000, ready=1)
    assert PoolLoad({"pro": waiting}, slots=4, running=2).free_slots == 1
    helped = PoolLoad({"pro": waiting}, slots=4, helping_slots=2, help_after=5.0, running=2)
    assert helped.free_slots == 1  # nobody helps yet
