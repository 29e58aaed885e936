"""The goals of the scheduler, on fewer seeds than the figures are measured with."""

import pytest

from libs.tiers.catalogue import TierName
from sim.figures import FLOODERS, share_error, simulate
from sim.scenarios import BASE, EVERYTHING, OVERLOAD, calm, flooded

SEEDS = (1, 2)


@pytest.mark.parametrize("tier", FLOODERS)
def test_a_flood_costs_the_others_little(tier: TierName) -> None:
    flood, still = simulate(flooded(tier), SEEDS), simulate(calm(flooded(tier)), SEEDS)
    assert flood.others.jobs == still.others.jobs > 5_000
    assert flood.others.inside >= 0.99
    assert flood.others.p95 <= 2 * still.others.p95
    assert flood.flooders.p50 > 20 * flood.others.p95
    assert flood.gap <= 60


def test_what_is_accepted_in_an_overload_comes_in_time() -> None:
    overload = simulate(OVERLOAD, SEEDS)
    assert overload.others.inside >= 0.99
    assert overload.busy >= 0.98
    assert overload.refused["free"] > 0.3
    assert 0.85 <= overload.covered <= 0.95


def test_estimates_come_true_at_an_ordinary_load() -> None:
    assert 0.85 <= simulate(BASE, SEEDS).covered <= 0.95


def test_no_tier_is_left_alone_whatever_happens() -> None:
    assert simulate(EVERYTHING, (1,)).gap <= 60


def test_tiers_share_by_weight() -> None:
    assert share_error(seeds=100) <= 0.01
