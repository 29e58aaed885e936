"""How every benchmark is asked for its figures, and prints them."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence

Figures = Mapping[str, float]


def print_figures(figures: Figures, *, as_json: bool) -> None:
    """A table for people, or one JSON object for machines."""
    if as_json:
        print(json.dumps(figures))
        return
    width = max(map(len, figures)) + 2
    for name, value in figures.items():
        print(f"{name:<{width}}{value:>10g}")


def run(description: str | None, measure: Callable[[], Figures], arguments: Sequence[str]) -> None:
    """The program of a benchmark whose only option is `--json`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    print_figures(measure(), as_json=options.json)
