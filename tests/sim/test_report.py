"""docs/scheduling.md says what the simulator says now: `python -m sim report` writes it."""

import os
import re
from pathlib import Path
from xml.etree import ElementTree

from sim import report
from sim.figures import SEEDS, Outcome, simulate
from sim.scenarios import BASE, calm, flooded

ROOT = Path(os.environ.get("EASEL_ROOT") or Path(__file__).resolve().parents[2])
PAGE = (ROOT / report.PAGE).read_text()
FLOOD = flooded("free")


def numbers_of(name: str) -> list[str]:
    """Cells of the row that begins with a name."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    (found,) = [row[1:] for row in rows if row[0] == name and len(row) == 9]
    return found


def flood_and_calm() -> tuple[Outcome, Outcome]:
    return simulate(FLOOD, SEEDS), simulate(calm(FLOOD), SEEDS)


def test_the_page_is_the_template_filled_in() -> None:
    template = (ROOT / "sim" / "scheduling.md").read_text()
    for part in re.split(r"\$[a-z]+", template):
        assert part in PAGE
    assert "$" not in PAGE


def test_the_waits_in_a_flood_are_those_of_the_simulator() -> None:
    flood, still = flood_and_calm()
    row = [
        f"{flood.by_tier[tier].p95:.1f} ({still.by_tier[tier].p95:.1f})" for tier in flood.by_tier
    ]
    ratio = f"{flood.others.p95 / still.others.p95:.2f}"
    expected = [*row, ratio, f"{flood.others.inside:.2%}", f"{flood.flooders.p50:.0f}"]
    assert numbers_of("free") == expected


def test_the_estimates_are_those_of_the_simulator() -> None:
    base = simulate(BASE, SEEDS)
    assert f"| base | {base.told} | {base.covered:.1%} |" in PAGE


def test_every_figure_of_the_page_reaches_its_goal() -> None:
    goals = {
        "flood_others_in_target": (0.99, 1.0),
        "flood_p95_ratio": (0.0, 2.0),
        "overload_in_target": (0.99, 1.0),
        "overload_busy": (0.98, 1.0),
        "share_error": (0.0, 0.01),
        "longest_gap_seconds": (0.0, 60.0),
        "eta_p90_coverage": (0.85, 0.95),
    }
    assert goals.keys() == report.GOALS.keys()
    for name, (least, most) in goals.items():
        (value,) = re.findall(rf"\| `{name}`: .* \| (\S+) \|$", PAGE, re.MULTILINE)
        assert least <= float(value) <= most, name


def test_the_pictures_are_there() -> None:
    names = re.findall(r"\]\(pictures/(waits-\w+\.svg)\)", PAGE)
    assert len(names) == 4
    for name in names:
        ElementTree.parse(ROOT / report.PICTURES / name)
