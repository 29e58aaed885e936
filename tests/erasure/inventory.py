"""docs/guides/personal-data.md as data: what there is, and how it ends."""

import re
from dataclasses import dataclass
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "personal-data.md"
PLACE = re.compile(r"\{\w+\}")


@dataclass(frozen=True)
class Table:
    """A table of the database: its columns that can hold text, and how its rows end."""

    name: str
    columns: frozenset[str]
    ends: str

    @property
    def stays(self) -> bool:
        return self.ends.startswith("stays")


def rows_below(heading: str) -> list[list[str]]:
    """The cells of the one table below a heading, without its head."""
    _, _, after = GUIDE.read_text().partition(f"\n## {heading}\n")
    section = after.partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def tables() -> dict[str, Table]:
    """Every table that the guide names."""
    named = [Table(row[0], frozenset(row[1].split()), row[4]) for row in rows_below("Tables")]
    assert len({table.name for table in named}) == len(named)
    return {table.name: table for table in named}


def patterns(heading: str) -> list[re.Pattern[str]]:
    """What the keys below a heading look like."""
    keys = [key for row in rows_below(heading) for key in re.findall(r"`([^`]+)`", row[0])]
    return [re.compile(pattern_of(key)) for key in keys]


def pattern_of(key: str) -> str:
    """`{}` stands for one part of a key, `*` for anything."""
    escaped = re.escape(PLACE.sub("\0", key))
    return escaped.replace("\0", r"[\w-]+").replace(r"\*", ".*")
