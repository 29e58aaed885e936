"""Arrivals are what a scenario says, and the same for the same seed."""

from dataclasses import replace

import pytest

from sim.scenario import arrivals_of
from sim.scenarios import BASE, flooded
from sim.workload import MILLICREDITS_A_SECOND

HOUR = 3600.0


def test_a_seed_names_one_history() -> None:
    first, again, other = (list(arrivals_of(BASE, seed)) for seed in (1, 1, 2))
    assert first == again and first != other
    assert [one.at for one in first] == sorted(one.at for one in first)


def test_the_load_is_what_was_asked_for() -> None:
    work = dict.fromkeys(BASE.slots, 0.0)
    for seed in range(4):
        for one in arrivals_of(BASE, seed):
            if one.at < HOUR:
                pool = "premium" if one.tier in ("studio", "enterprise") else "standard"
                work[pool] += one.cost * one.executed * one.pace / MILLICREDITS_A_SECOND
    loads = {pool: work[pool] / 4 / HOUR / slots for pool, slots in BASE.slots.items()}
    assert loads == {
        "premium": pytest.approx(0.8, abs=0.05),
        "standard": pytest.approx(0.8, abs=0.05),
    }


def test_a_flood_leaves_everybody_elses_requests_as_they_were() -> None:
    flood = flooded("pro")
    others = [one for one in arrivals_of(flood, 3) if one.user != "pro-flood"]
    assert others == list(arrivals_of(replace(flood, floods=()), 3))
    assert sum(one.user == "pro-flood" for one in arrivals_of(flood, 3)) > 800
