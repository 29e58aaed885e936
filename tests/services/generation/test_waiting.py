from services.generation.waiting import Outlook, estimate_wait


def test_an_empty_queue_means_no_wait() -> None:
    wait = estimate_wait(Outlook(0, 0, 0, None, None))
    assert (wait.jobs_ahead, wait.p50_seconds, wait.p90_seconds) == (0, 0.0, 0.0)


def test_before_the_first_measurement_a_credit_is_a_second() -> None:
    assert estimate_wait(Outlook(3, 30_000, 1, None, None)).p50_seconds == 30.0


def test_the_wait_is_work_ahead_over_busy_slots_at_measured_speed() -> None:
    wait = estimate_wait(Outlook(8, 80_000, 4, 0.002, 0.003))
    assert (wait.p50_seconds, wait.p90_seconds) == (40.0, 60.0)
