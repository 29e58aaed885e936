import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.tiers.admission import OWN_CHOICE, PART_OF_TARGET, admit
from libs.tiers.estimates import (
    FEWEST_SAMPLES,
    SAMPLES,
    Calibration,
    Estimate,
    Service,
    Started,
    Wait,
    calibrate,
    drain,
    estimate,
    own_work,
    reckon_wait,
    tell,
)
from libs.tiers.fair_rules import TierRule
from libs.tiers.pool_loads import PoolLoad, TierLoad, WaitingUser, load_of_tier

FREE, PRO = TierRule("free", 10, 1, 3_600.0), TierRule("pro", 50, 1, 360.0)


def one_job(rule: TierRule, users: int, cost: int = 10_000) -> TierLoad:
    """So many users of a tier, each with one job."""
    return load_of_tier(rule, [WaitingUser(1, cost, cost)] * users, ready=users)


def test_one_slot_and_one_tier_is_a_line() -> None:
    pool = PoolLoad({"free": one_job(FREE, 6)}, slots=1, running=1, running_cost=10_000)
    wait = reckon_wait(pool, "free", 0)
    # six jobs of ten seconds, and half of the one that runs
    assert (wait.seconds, wait.jobs_ahead) == pytest.approx((65.0, 6))


def test_tiers_drain_by_weight_and_what_one_leaves_the_other_takes() -> None:
    pool = PoolLoad({"free": one_job(FREE, 6), "pro": one_job(PRO, 5)}, slots=1, running=1)
    # pro is served 5/6: its 50 s take 60; free has 10 s of its own by then, and 50 s after that
    assert reckon_wait(pool, "pro", 0).seconds == pytest.approx(60.0)
    assert reckon_wait(pool, "free", 0).seconds == pytest.approx(110.0)
    assert reckon_wait(pool, "free", 0).jobs_ahead == pytest.approx(11)


def test_what_comes_in_elsewhere_takes_its_share() -> None:
    busy = replace(one_job(PRO, 0), arrivals=500.0)  # half of the slot
    pool = PoolLoad({"free": one_job(FREE, 6), "pro": busy}, slots=1, running=1)
    assert reckon_wait(pool, "free", 0).seconds == pytest.approx(120.0)


def test_who_has_had_more_is_overtaken_by_newcomers_but_waits_no_longer_than_the_bound() -> None:
    half = replace(one_job(FREE, 6), newcomers=500.0)
    pool = PoolLoad({"free": half}, slots=1, running=1)
    assert reckon_wait(pool, "free", 0).seconds == pytest.approx(60.0)
    assert reckon_wait(pool, "free", 1_000).seconds == pytest.approx(120.0)
    full = replace(pool, tiers={"free": replace(half, newcomers=2_000.0)})
    assert reckon_wait(full, "free", 1_000).seconds == FREE.bound_seconds


def test_helping_workers_count_from_when_they_help() -> None:
    pool = PoolLoad({"free": one_job(FREE, 6)}, slots=0, helping_slots=2, help_after=30, running=1)
    assert reckon_wait(pool, "free", 0).seconds == pytest.approx(60.0)


def test_a_free_slot_means_no_wait_but_for_ones_own_jobs() -> None:
    pool = PoolLoad({"free": replace(one_job(FREE, 6), ready=1)}, slots=4, running=2)
    told = estimate(
        pool,
        "free",
        cost=10_000,
        virtual_start=30_000,
        own_cost=own_work(30_000, 1, 10_000, 1),
        calibration=Calibration(),
        service=Service(),
    )
    assert (told.start_p50, told.others_seconds) == (35.0, 0.0)
    assert (told.finish_p50, told.finish_p90) == (45.0, 45.0)


def test_own_work_counts_running_jobs_only_at_the_limit() -> None:
    assert own_work(0, 2, 20_000, 3) == 0
    assert own_work(7_000, 3, 30_000, 3) == 14_500


def test_uncertain_waits_and_uncertain_work_add_as_squares() -> None:
    told = tell(Wait(29.0, 3.4), 0.0, 10_000, Calibration(1.0, 2.0), Service(0.001, 0.005))
    assert (told.position, told.start_p50, told.start_p90) == (4, 29.0, 59.0)
    assert (told.finish_p50, told.finish_p90) == (39.0, 89.0)  # sqrt(30² + 40²) after the middle
    assert (told.reckoned, told.others_seconds) == (29.0, 57.75)


loads = st.dictionaries(
    st.sampled_from(["free", "pro"]), st.tuples(st.integers(0, 50), st.floats(0, 3_000)), min_size=2
)


@given(loads, st.floats(0, 1e6), st.integers(1, 20))
def test_every_drain_ends_and_serves_what_the_slots_can(
    tiers: dict[str, tuple[int, float]], work: float, slots: int
) -> None:
    rules = {"free": FREE, "pro": PRO}
    pool = PoolLoad(
        {
            name: replace(one_job(rules[name], users), arrivals=arrivals)
            for name, (users, arrivals) in tiers.items()
        },
        slots=slots,
    )
    seconds, served = drain(pool, "free", work, 0.0, 3_600.0)
    assert 0 <= seconds <= 3_600.0
    assert sum(served.values()) <= seconds * slots * 1_000 * (1 + 1e-9) + 1e-6
    assert served["free"] == pytest.approx(work, abs=1e-3) or seconds == pytest.approx(3_600.0)


def test_a_calibration_finds_by_how_much_the_fluid_is_wrong() -> None:
    chance = random.Random(5)
    started = [
        Started(reckoned=99.0, told_p90=180.0, waited=100 * chance.uniform(1, 2) - 1)
        for _ in range(SAMPLES)
    ]
    found = calibrate(started)
    assert found.p50 == pytest.approx(1.5, abs=0.05)
    assert found.p90 == pytest.approx(1.9, abs=0.12)
    assert calibrate(started[: FEWEST_SAMPLES - 1]) == Calibration()


def test_what_was_missed_lately_makes_the_upper_quantile_more_careful() -> None:
    waits = [Started(9.0, 50.0, 9.0 + number / 10) for number in range(100)]
    missed = [replace(job, told_p90=0.0) if job.waited > 15 else job for job in waits]
    assert calibrate(missed).p90 > calibrate(waits).p90


TARGET = 100.0


def told(start: float, others: float) -> Estimate:
    return Estimate(1, start, start, start, start, others, start)


def test_who_could_not_start_in_time_is_refused_and_told_when_to_come_back() -> None:
    allowed = PART_OF_TARGET * TARGET
    assert admit(told(allowed, allowed), TARGET) is None
    refused = admit(told(allowed + 12.3, allowed), TARGET)
    assert refused is not None
    assert (refused.target_seconds, refused.expected_wait_seconds) == (TARGET, allowed + 12.3)
    assert refused.retry_after_seconds == 13


def test_a_wait_for_ones_own_jobs_is_ones_own_choice() -> None:
    assert admit(told(1_000.0, OWN_CHOICE * TARGET), TARGET) is None
    assert admit(told(1_000.0, OWN_CHOICE * TARGET + 1), TARGET) is not None


def test_a_flooder_is_refused_and_who_has_nothing_queued_is_not() -> None:
    flooder, other = WaitingUser(400, 6_400_000, 16_000), WaitingUser(1, 16_000, 16_000)
    load = load_of_tier(PRO, [flooder, other, other, other, other], ready=5)
    pool = PoolLoad({"pro": load}, slots=2, running=2, running_cost=32_000)

    def ask(virtual_start: float) -> bool:
        said = estimate(
            pool,
            "pro",
            cost=16_000,
            virtual_start=virtual_start,
            own_cost=0,
            calibration=Calibration(),
            service=Service(),
        )
        return admit(said, 180.0) is None

    assert ask(0)
    assert not ask(flooder.cost)
