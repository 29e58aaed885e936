"""A gap is a time in which a tier could be served and was not."""

from collections import Counter

from sim.gaps import Gaps


def test_time_without_servable_work_is_no_gap() -> None:
    in_flight: Counter[str] = Counter()
    gaps = Gaps({"free": 1, "pro": 1}, in_flight)
    gaps.entered("free", "ada", 10.0)
    in_flight["ada"] = 1
    gaps.served("free", "ada", 13.0)
    gaps.entered("free", "ada", 20.0)  # waits for a running limit: nobody's fault
    in_flight["ada"] = 0
    gaps.ended("free", "ada", 90.0)
    gaps.left("free", "ada", 95.0)
    gaps.finish(500.0)
    assert gaps.longest == {"free": 5.0, "pro": 0.0}


def test_a_service_begins_the_count_anew_while_others_wait() -> None:
    in_flight: Counter[str] = Counter()
    gaps = Gaps({"free": 1}, in_flight)
    for user in ("ada", "bob", "eve"):
        gaps.entered("free", user, 0.0)
    in_flight["ada"] = 1
    gaps.served("free", "ada", 4.0)
    in_flight["bob"] = 1
    gaps.served("free", "bob", 11.0)
    gaps.finish(31.0)
    assert gaps.longest == {"free": 20.0}
