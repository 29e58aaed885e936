"""docs/asvs.csv, where each requirement of OWASP ASVS 5.0.0 levels 1 and 2 stands, as a page.

python -m tests.security.asvs        writes docs/asvs.md anew
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
DATA, PAGE = ROOT / "docs" / "asvs.csv", ROOT / "docs" / "asvs.md"
CHAPTERS = (
    "Encoding and sanitization",
    "Validation and business logic",
    "Web frontend security",
    "API and web service",
    "File handling",
    "Authentication",
    "Session management",
    "Authorization",
    "Self-contained tokens",
    "OAuth and OIDC",
    "Cryptography",
    "Secure communication",
    "Configuration",
    "Data protection",
    "Secure coding and architecture",
    "Security logging and error handling",
    "WebRTC",
)
HEAD = """# OWASP ASVS 5.0.0, levels 1 and 2

Every requirement of both levels, in our words; the standard's own are at
<https://github.com/OWASP/ASVS/tree/v5.0.0>. Rendered from [asvs.csv](asvs.csv) by
`python -m tests.security.asvs`; `tests/security/test_asvs.py` fails when a requirement is missing,
when a file or a test that is named does not exist, or when this page is stale. **open** says what
is not met, why, and what it would take.
"""


@dataclass(frozen=True)
class Requirement:
    """One line. `code` and `tests` are paths from the root; a test is `path::name`."""

    id: str
    level: int
    status: Literal["met", "open", "does not apply"]
    requirement: str
    how: str
    code: tuple[str, ...]
    tests: tuple[str, ...]

    @property
    def applies(self) -> bool:
        return self.status != "does not apply"

    @property
    def chapter(self) -> int:
        return int(self.id.partition(".")[0])


def read_requirements() -> list[Requirement]:
    """All lines, in the order of the file."""
    with DATA.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and set(rows[0]) == {field.name for field in fields(Requirement)}
    return [
        Requirement(
            id=row["id"],
            level=int(row["level"]),
            status=row["status"],  # type: ignore[arg-type]
            requirement=row["requirement"],
            how=row["how"],
            code=tuple(row["code"].split()),
            tests=tuple(row["tests"].split()),
        )
        for row in rows
    ]


def link(path: str) -> str:
    """A path from the root, as seen from docs/."""
    name = path.rpartition("/")[2]
    return f"[{name}](../{path})"


def proof(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name}](../{path})"


def lines(requirements: Sequence[Requirement]) -> Iterator[str]:
    yield "| | L | | requirement | how | where | proven by |"
    yield "|---|---|---|---|---|---|---|"
    for one in requirements:
        where, proven = " ".join(map(link, one.code)), " ".join(map(proof, one.tests))
        status = one.status if one.status == "met" else f"**{one.status}**"
        cells = (one.id, str(one.level), status, one.requirement, one.how, where, proven)
        yield "| " + " | ".join(cells) + " |"


def summary(requirements: Sequence[Requirement]) -> str:
    """How many stand how, by level."""
    rows = ["| | met | open | do not apply |", "|---|---|---|---|"]
    for level in (1, 2):
        own = [one.status for one in requirements if one.level == level]
        counts = [own.count(status) for status in ("met", "open", "does not apply")]
        rows.append(f"| level {level} ({len(own)}) | " + " | ".join(map(str, counts)) + " |")
    applying = [one for one in requirements if one.applies]
    share = sum(1 for one in applying if one.tests) / len(applying)
    rows.append(f"\n{share:.0%} of the {len(applying)} that apply are proven by a test.")
    return "\n".join(rows)


def render(requirements: Sequence[Requirement]) -> str:
    """The whole page."""
    parts = [HEAD, summary(requirements)]
    for number, title in enumerate(CHAPTERS, 1):
        own = [one for one in requirements if one.chapter == number]
        parts += [f"\n## V{number} {title}\n", "\n".join(lines(own))]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(read_requirements()))
