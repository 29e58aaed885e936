"""`python -m sim SCENARIO [--seed N]`: one simulation as a table.

`python -m sim trace SCENARIO`: what happened, one JSON object a line. `python -m sim report` writes
docs/scheduling.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sim.report import write
from sim.results import (
    counted,
    coverage,
    longest_gap,
    refused,
    waits_by_tier,
    waits_of,
)
from sim.scenario import POOLS, TARGET, Scenario
from sim.scenarios import SCENARIOS
from sim.simulation import Simulation
from sim.trace import json_lines, trace

HEAD = f"{'tier':<12}{'jobs':>7}{'p50':>9}{'p95':>9}{'longest':>9}{'target':>8}{'inside':>9}"


def table(simulation: Simulation) -> list[str]:
    """Lines for people; seconds."""
    runs, flood = counted(simulation), counted(simulation, flooders=True)
    lines = [HEAD + f"{'refused':>9}"]
    for tier, w in waits_by_tier(runs).items():
        lines.append(
            f"{tier:<12}{w.jobs:>7}{w.p50:>9.1f}{w.p95:>9.1f}{w.longest:>9.1f}"
            f"{TARGET[tier]:>8.0f}{w.inside:>9.2%}{refused(simulation, tier):>9.1%}"
        )
    if flood:
        w = waits_of(flood)
        lines.append(f"{'flooder':<12}{w.jobs:>7}{w.p50:>9.1f}{w.p95:>9.1f}{w.longest:>9.1f}")
    everybody = waits_of(runs)
    busy = ", ".join(f"{pool} {simulation.busy(pool):.1%}" for pool in POOLS)
    failed = sum(run.state == "failed" for run in simulation.runs)
    return [
        *lines,
        f"all but flooders: {everybody.inside:.2%} inside their target, p95 {everybody.p95:.1f} s",
        f"GPUs busy: {busy}; models loaded: {simulation.model_loads}; dead letters: {failed}",
        f"longest time that a tier with work was not served: {longest_gap(simulation):.1f} s",
        f"started before the p90 that they were told: {coverage(runs):.1%}",
    ]


def show(scenario: Scenario, seed: int) -> None:
    print(f"{scenario.name}: {scenario.about} (seed {seed})")
    print("\n".join(table(Simulation(scenario, seed).run())))


def main(arguments: Sequence[str]) -> None:
    """Run one verb."""
    parser = argparse.ArgumentParser(prog="python -m sim", description=__doc__)
    parser.add_argument("what", choices=[*SCENARIOS, "trace", "report"])
    parser.add_argument("scenario", nargs="?", choices=[*SCENARIOS], default="everything")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.what == "report":
        write(Path(__file__).resolve().parents[1])
    elif options.what == "trace":
        print("\n".join(json_lines(trace(SCENARIOS[options.scenario], options.seed))))
    else:
        show(SCENARIOS[options.what], options.seed)


if __name__ == "__main__":
    main(sys.argv[1:])
