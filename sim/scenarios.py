"""The scenarios that have names: `python -m sim SCENARIO`."""

from collections.abc import Mapping
from dataclasses import replace

from libs.tiers.catalogue import TierName
from sim.fleet import Deaths, Storm
from sim.scenario import TIERS, Scenario
from sim.workload import Flood, Habits, Model, Phase

HOUR = 3600.0
WARM_UP = 1800.0
SLOTS = {"premium": 4, "standard": 8}
WINDOW = (WARM_UP, WARM_UP + HOUR)
STEADY = (Phase(WARM_UP + HOUR, 0.8), Phase(WARM_UP + HOUR + 600, 0.5))
MODELS = tuple(Model(f"model-{n}", 1 / n) for n in range(1, 7))

BASE = Scenario("base", "a fleet at 0.8 of what it can do", SLOTS, STEADY, WINDOW)


def flooded(tier: TierName, base: Scenario = BASE, load: float = 0.6) -> Scenario:
    """One user of a tier floods for an hour. No running limit holds the flood back, and the queue
    takes it all: the scheduler alone protects the others."""
    slots = sum(base.slots.values())
    return replace(
        base,
        name=f"flood-{tier}",
        about=f"a {tier} user asks for {load} of the pool beside a load of 0.8",
        floods=(Flood(tier, load, *base.window),),
        running_jobs={tier: slots},
        admits=False,
        forecasts=False,
    )


def calm(scenario: Scenario) -> Scenario:
    """The same without its flood."""
    return replace(
        scenario, name=f"{scenario.name}-calm", about="the same without the flood", floods=()
    )


OVERLOAD = replace(
    BASE,
    name="overload",
    about="an hour of 1.5 times what the fleet can do; who would wait too long is refused",
    phases=(Phase(WARM_UP, 0.8), Phase(WARM_UP + HOUR, 1.5), Phase(WARM_UP + HOUR + 600, 0.5)),
)
STORM = replace(
    BASE,
    name="storm",
    about="twice, half of the standard GPUs is taken away for ten minutes",
    storms=(Storm(2400.0, "standard", 0.5, 600.0), Storm(4200.0, "standard", 0.5, 600.0)),
)
DEATHS = replace(
    BASE,
    name="deaths",
    about="every GPU dies once in ten minutes, and its lease has to run out",
    deaths=Deaths(600.0),
)
MIXED = replace(
    BASE,
    name="models",
    about="six models that take 6 s to load, two fit on a GPU",
    models=MODELS,
    load_seconds=6.0,
    phases=(Phase(WARM_UP + HOUR, 0.7), Phase(WARM_UP + HOUR + 600, 0.4)),
)
EVERYTHING = replace(
    MIXED,
    name="everything",
    about="models, deaths, a storm, a flood, deadlines and people who give up, at 1.1",
    phases=(Phase(WARM_UP + HOUR, 1.1), Phase(WARM_UP + HOUR + 600, 0.4)),
    deaths=Deaths(900.0),
    storms=(Storm(2400.0, "standard", 0.5, 600.0),),
    floods=(Flood("free", 0.6, 3000.0, 4800.0),),
    habits=Habits(gives_up_waiting=0.02, sets_deadline=0.05),
)
UNLIMITED = replace(
    OVERLOAD,
    name="unlimited",
    about="the same overload, nobody is refused",
    admits=False,
    forecasts=False,
)

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        BASE,
        *(flooded(tier.name) for tier in TIERS),
        OVERLOAD,
        UNLIMITED,
        STORM,
        DEATHS,
        MIXED,
        EVERYTHING,
    )
}
