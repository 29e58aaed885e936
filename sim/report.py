"""`docs/scheduling.md` and its pictures, from simulations: the same tree writes the same bytes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import Template

from sim.alternatives import ORDERS, FloodLast
from sim.charts import bar_chart, line_chart
from sim.figures import (
    FLOODERS,
    FORETOLD,
    SEEDS,
    Outcome,
    figures_of,
    scenarios_of_figures,
    share_error,
    simulate_all,
)
from sim.scenario import TARGET, Scenario
from sim.scenarios import (
    BASE,
    DEATHS,
    EVERYTHING,
    MIXED,
    OVERLOAD,
    SLOTS,
    STORM,
    UNLIMITED,
    calm,
    flooded,
)

PAGE = Path("docs/scheduling.md")
PICTURES = Path("docs/pictures")
LARGE = replace(BASE, name="large", slots={"premium": 10, "standard": 20})
BLIND = replace(MIXED, name="models-blind", tells_loaded=False)
GOALS = {
    "flood_others_in_target": ">= 0.99",
    "flood_p95_ratio": "<= 2",
    "overload_in_target": ">= 0.99",
    "overload_busy": ">= 0.98",
    "share_error": "<= 0.01",
    "longest_gap_seconds": "<= 60",
    "eta_p90_coverage": "0.85 to 0.95",
}
MEANINGS = {
    "flood_others_in_target": "others' jobs inside their target in a flood (the worst one)",
    "flood_p95_ratio": "the others' 95th percentile over that without the flood (the worst one)",
    "overload_in_target": "accepted jobs inside their target at a load of 1.5",
    "overload_busy": "GPUs busy in that hour (the least busy pool and seed)",
    "share_error": "largest difference of a plan's share from its weight's, 1,000 seeds",
    "longest_gap_seconds": "longest time that a plan with work was not served, in all scenarios",
    "eta_p90_coverage": "jobs that started before the p90 that they were told",
}
Outcomes = Mapping[str, Outcome]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is words, the others are numbers."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def orders_of_flood() -> dict[str, Scenario]:
    """The flood of a pro user under other orders of service."""
    flood = flooded("pro")
    orders = {**ORDERS, "flood last": FloodLast}
    return {
        name: replace(flood, name=f"flood-pro, {name}", order=order)
        for name, order in orders.items()
    }


def sizes_of_flood() -> list[tuple[Scenario, Scenario, Scenario]]:
    """Floods of a large fleet: as it is, without the flood, and under the best order there is."""
    found = []
    for tier in FLOODERS:
        flood = flooded(tier, LARGE)
        flood = replace(flood, name=f"large-{flood.name}")
        best = replace(flood, name=f"{flood.name}, flood last", order=FloodLast)
        found.append((flood, calm(flood), best))
    return found


def scenarios_of_report() -> list[Scenario]:
    """All that is simulated, the longest first."""
    sizes = [scenario for three in sizes_of_flood() for scenario in three]
    return [*scenarios_of_figures(), *orders_of_flood().values(), *sizes, BLIND]


def figures_table(figures: Mapping[str, float]) -> str:
    return table(
        ["what", "goal", "figure"],
        ([f"`{name}`: {MEANINGS[name]}", GOALS[name], f"{figures[name]:.4g}"] for name in GOALS),
    )


def floods_table(found: Outcomes) -> str:
    rows = []
    for tier in FLOODERS:
        flood, still = found[flooded(tier).name], found[calm(flooded(tier)).name]
        by_tier = (
            f"{flood.by_tier[name].p95:.1f} ({still.by_tier[name].p95:.1f})" for name in TARGET
        )
        ratio = flood.others.p95 / still.others.p95
        flooder = f"{flood.flooders.p50:.0f}"
        rows.append([tier, *by_tier, f"{ratio:.2f}", f"{flood.others.inside:.2%}", flooder])
    head = ["flooder", *TARGET, "all, ratio", "inside target", "flooder's own median"]
    return table(head, rows) + "\n\nIn brackets: the same without the flood."


def orders_table(found: Outcomes) -> str:
    rows = []
    for name, scenario in orders_of_flood().items():
        one = found[scenario.name]
        waits = (f"{one.by_tier[tier].p95:.0f}" for tier in TARGET)
        rows.append([name, *waits, f"{one.others.inside:.1%}", f"{one.gap:.0f}"])
    return table(["order", *TARGET, "inside target", "longest gap, s"], rows)


def sizes_table(found: Outcomes) -> str:
    rows = []
    for tier, (flood, still, best) in zip(FLOODERS, sizes_of_flood(), strict=True):
        waits = [found[scenario.name].others for scenario in (flood, still, best)]
        times = [f"{wait.p95:.1f}" for wait in waits]
        ratios = [f"{wait.p95 / waits[1].p95:.2f}" for wait in (waits[0], waits[2])]
        rows.append([tier, times[1], times[0], *ratios, f"{waits[0].inside:.2%}"])
    head = ["flooder", "p95 without", "p95 with", "ratio", "flood last: ratio", "inside target"]
    return f"20 standard and 10 premium GPUs:\n\n{table(head, rows)}"


def overload_table(found: Outcomes) -> str:
    rows = []
    for scenario in (OVERLOAD, UNLIMITED):
        one = found[scenario.name]
        for tier, wait in one.by_tier.items():
            numbers = [f"{value:.0f}" for value in (wait.p50, wait.p95, TARGET[tier])]
            shares = [f"{wait.inside:.1%}", f"{one.refused[tier]:.0%}"]
            rows.append([f"{scenario.name}: {tier}", str(wait.jobs), *numbers, *shares])
        rows.append(
            [f"{scenario.name}: all", str(one.others.jobs), f"{one.others.p50:.0f}"]
            + [f"{one.others.p95:.0f}", "", f"{one.others.inside:.1%}", f"busy {one.busy:.1%}"]
        )
    return table(["", "jobs", "p50, s", "p95, s", "target, s", "inside", "refused"], rows)


def troubles_table(found: Outcomes) -> str:
    rows = []
    for scenario in (BASE, STORM, DEATHS, MIXED, BLIND, EVERYTHING):
        one = found[scenario.name]
        waits = [f"{one.by_tier[tier].p95:.0f}" for tier in TARGET]
        paid = f"{one.refused['studio']:.0%} / {one.refused['enterprise']:.0%}"
        shares = [f"{one.others.inside:.2%}", f"{one.refused['free']:.0%}", paid]
        rows.append([scenario.name, *waits, *shares, f"{one.gap:.0f}"])
    head = ["p95, s", *TARGET, "inside", "refused: free", "studio / enterprise", "longest gap, s"]
    return table(head, rows)


def estimates_table(found: Outcomes) -> str:
    rows = [
        [scenario.name, str(one.told), f"{one.covered:.1%}"]
        for scenario in (*FORETOLD, EVERYTHING)
        for one in [found[scenario.name]]
    ]
    return table(["scenario", "jobs that were told", "started before their p90"], rows)


def pictures(found: Outcomes) -> dict[str, str]:
    """The pictures by their file names."""
    curves = {
        "waits-overload.svg": (OVERLOAD, "Load 1.5, with admission: p95 of waits (dotted: target)"),
        "waits-unlimited.svg": (UNLIMITED, "Load 1.5, nobody is refused: p95 of waits"),
        "waits-storm.svg": (STORM, "Half of the standard GPUs away for ten minutes, twice: p95"),
    }
    drawn = {
        file: line_chart(title, "minutes", found[scenario.name].curve, TARGET)
        for file, (scenario, title) in curves.items()
    }
    bars = {"no flood": found[calm(flooded("pro")).name]} | {
        name: found[scenario.name] for name, scenario in orders_of_flood().items() if name in ORDERS
    }
    groups = {
        tier: {name: outcome.by_tier[tier].p95 for name, outcome in bars.items()} for tier in TARGET
    }
    title = "A pro user floods: p95 of everybody else's waits, by order of service"
    return {**drawn, "waits-flood.svg": bar_chart(title, groups)}


def page(found: Outcomes, figures: Mapping[str, float]) -> str:
    """The text of the report."""
    template = Template(Path(__file__).with_name("scheduling.md").read_text())
    return template.substitute(
        figures=figures_table(figures),
        fleet=" and ".join(f"{slots} {pool}" for pool, slots in reversed(SLOTS.items())) + " GPUs",
        seeds=len(SEEDS),
        floods=floods_table(found),
        orders=orders_table(found),
        sizes=sizes_table(found),
        overload=overload_table(found),
        troubles=troubles_table(found),
        estimates=estimates_table(found),
    )


def write(root: Path) -> None:
    """Simulate everything, and write the page and its pictures."""
    found = {one.scenario.name: one for one in simulate_all(scenarios_of_report())}
    figures = figures_of(found) | {"share_error": share_error()}
    (root / PICTURES).mkdir(parents=True, exist_ok=True)
    (root / PAGE).write_text(page(found, figures))
    for name, picture in pictures(found).items():
        (root / PICTURES / name).write_text(picture)
