"""Pictures are SVG that says what was given."""

import math
from xml.etree import ElementTree

from sim.charts import BOTTOM, HEIGHT, LEAST, Scale, bar_chart, line_chart

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_the_scale_is_logarithmic() -> None:
    scale = Scale(100.0)
    assert scale.y(LEAST) == scale.y(0.0) == HEIGHT - BOTTOM
    steps = [scale.y(value) - scale.y(value * 10) for value in (0.1, 1.0, 10.0)]
    assert all(math.isclose(step, steps[0]) for step in steps)


def test_a_line_for_each_name_and_its_target() -> None:
    lines = {"free": [(0.0, 1.0), (10.0, 20.0)], "pro <1>": [(0.0, 2.0), (10.0, 3.0)]}
    picture = line_chart("Waits", "minutes", lines, {"free": 60.0, "pro <1>": 30.0})
    assert {"Waits", "minutes", "free", "pro <1>", "100 s"} <= set(texts(picture))
    dotted = [
        node
        for node in ElementTree.fromstring(picture).iter(f"{SVG}polyline")
        if node.get("stroke-dasharray")
    ]
    assert len(dotted) == 2


def test_a_bar_for_each_value() -> None:
    picture = bar_chart("Waits", {"free": {"a": 5.0, "b": 50.0}, "pro": {"a": 7.0, "b": 70.0}})
    assert {"free", "pro", "a", "b", "5", "50", "7", "70"} <= set(texts(picture))
