"""Plots as SVG text: lines and bars over a logarithmic scale of seconds. No library, no fonts."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 52
COLOURS = ("#4477aa", "#228833", "#ccbb44", "#ee6677", "#aa3377")
INK, GRID_INK = "#333333", "#dddddd"
LEAST = 0.1  # seconds: what is drawn of a wait of nothing
Points = Sequence[tuple[float, float]]


def text(x: float, y: float, words: str, anchor: str = "start", colour: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(words)}</text>"
    )


def line(points: Points, colour: str, style: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" {style}/>'


class Scale:
    """Seconds on a logarithmic scale, from LEAST to a power of ten above the largest."""

    def __init__(self, largest: float) -> None:
        self.decades = max(1, math.ceil(math.log10(max(largest, 1.0) / LEAST)))

    def y(self, seconds: float) -> float:
        part = math.log10(max(seconds, LEAST) / LEAST) / self.decades
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> Iterator[str]:
        """A line and a name for each power of ten."""
        for power in range(self.decades + 1):
            seconds = LEAST * 10**power
            y = self.y(seconds)
            yield line([(LEFT, y), (WIDTH - RIGHT, y)], GRID_INK)
            yield text(LEFT - 6, y + 4, f"{seconds:g} s", "end")


def picture(title: str, parts: Sequence[str]) -> str:
    """The whole file."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{escape(title)}</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    )
    heading = f'<text x="{LEFT}" y="22" font-size="15" fill="{INK}">{escape(title)}</text>'
    return "\n".join([head, heading, *parts, "</svg>", ""])


def legend(names: Sequence[str]) -> Iterator[str]:
    for number, name in enumerate(names):
        y = TOP + 14 + 20 * number
        x = WIDTH - RIGHT + 14
        yield f'<rect x="{x}" y="{y - 9}" width="12" height="10" fill="{COLOURS[number]}"/>'
        yield text(x + 18, y, name)


def line_chart(
    title: str, x_name: str, lines: Mapping[str, Points], targets: Mapping[str, float]
) -> str:
    """Lines over minutes; the target of each, dotted. Values are seconds."""
    every = [y for points in lines.values() for _, y in points]
    scale = Scale(max([*every, *targets.values()]))
    last = max(x for points in lines.values() for x, _ in points)

    def x_of(minute: float) -> float:
        return LEFT + minute / last * (WIDTH - LEFT - RIGHT)

    parts = [*scale.grid(), text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_name, "middle")]
    for minute in range(0, int(last) + 1, 10):
        parts.append(text(x_of(minute), HEIGHT - BOTTOM + 18, str(minute), "middle"))
    for number, (name, points) in enumerate(lines.items()):
        drawn = [(x_of(x), scale.y(y)) for x, y in points]
        parts.append(line(drawn, COLOURS[number], 'stroke-width="2"'))
        ends = [(LEFT, scale.y(targets[name])), (WIDTH - RIGHT, scale.y(targets[name]))]
        parts.append(line(ends, COLOURS[number], 'stroke-dasharray="2 4"'))
    return picture(title, [*parts, *legend(list(lines))])


def bar_chart(title: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Groups of bars, side by side, with their values. Values are seconds."""
    names = list(next(iter(groups.values())))
    scale = Scale(max(value for group in groups.values() for value in group.values()))
    room = (WIDTH - LEFT - RIGHT) / len(groups)
    thick = room * 0.8 / len(names)
    parts = list(scale.grid())
    for place, (group, values) in enumerate(groups.items()):
        start = LEFT + place * room + room * 0.1
        parts.append(text(start + room * 0.4, HEIGHT - BOTTOM + 18, group, "middle"))
        for number, name in enumerate(names):
            x, y = start + number * thick, scale.y(values[name])
            bottom = scale.y(LEAST)
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{thick * 0.9:.1f}" '
                f'height="{bottom - y:.1f}" fill="{COLOURS[number]}"/>'
            )
            parts.append(
                f'<text x="{x + thick * 0.45:.1f}" y="{y - 3:.1f}" text-anchor="middle" '
                f'font-size="9" fill="{INK}">{values[name]:.0f}</text>'
            )
    return picture(title, [*parts, *legend(names)])
