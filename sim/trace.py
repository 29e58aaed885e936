"""What happens to the queues of a simulation, row by row: to be followed by something real."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from sim.runs import TraceRow
from sim.scenario import Scenario
from sim.simulation import Simulation


def trace(scenario: Scenario, seed: int) -> list[TraceRow]:
    """Everything that happened to the queues, in order."""
    rows: list[TraceRow] = []
    Simulation(scenario, seed, rows.append).run()
    return rows


def json_lines(rows: list[TraceRow]) -> Iterator[str]:
    """The rows as JSON, one a line, without what is empty."""
    for row in rows:
        yield json.dumps({name: value for name, value in asdict(row).items() if value})
