"""Show the logs of the parts."""

import re
import time
from pathlib import Path

from dev.parts.program import PartError

TAIL_LINES = 40
FOLLOW_SECONDS = 0.3
TAIL_BYTES = 64 * 1024
LINE_LENGTH = 300
ERROR = re.compile(r"\b\w*(error|exception|fatal)\b", re.IGNORECASE)


class Log:
    """What a part's log says from now on."""

    def __init__(self, file: Path, from_now: bool = True) -> None:
        self.file = file
        self._start = file.stat().st_size if from_now and file.exists() else 0

    def __str__(self) -> str:
        """The last line about an error, else the last line, and where to read on."""
        return f"{self._last_words() or 'it said nothing'} (log: {self.file})"

    def _last_words(self) -> str:
        if not self.file.exists():
            return ""
        with self.file.open(errors="replace") as text:
            # A log that shrank was rotated: begin it again.
            text.seek(self._start if self.file.stat().st_size >= self._start else 0)
            lines = [line.strip() for line in text.readlines()[-TAIL_LINES:]]
        said = [line for line in lines if re.search(r"\w", line)]
        errors = [line for line in said if ERROR.search(line)]
        return [*said, *errors][-1][:LINE_LENGTH] if said else ""


def known_logs(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.log"))


def show(folder: Path, part: str | None, follow: bool) -> None:
    """Print the ends of one log or of all; with `follow`, what is added until Ctrl-C."""
    names = known_logs(folder)
    if part and part not in names:
        raise PartError(f"there is no log of {part}: choose one of {', '.join(names) or 'none'}")
    chosen = [part] if part else names
    places = {name: _tail(folder / f"{name}.log", name, len(chosen) > 1) for name in chosen}
    while follow:
        time.sleep(FOLLOW_SECONDS)
        for name in chosen:
            places[name] = _more(folder / f"{name}.log", name, places[name], len(chosen) > 1)


def _tail(file: Path, name: str, prefixed: bool) -> int:
    size = file.stat().st_size
    with file.open(errors="replace") as text:
        text.seek(max(0, size - TAIL_BYTES))
        _print(text.read().splitlines()[-TAIL_LINES:], name, prefixed)
    return size


def _more(file: Path, name: str, place: int, prefixed: bool) -> int:
    size = file.stat().st_size if file.exists() else 0
    if size == place:
        return place
    with file.open(errors="replace") as text:
        # A log that shrank was rotated: begin it again.
        text.seek(place if size > place else 0)
        _print(text.read().splitlines(), name, prefixed)
    return size


def _print(lines: list[str], name: str, prefixed: bool) -> None:
    for line in lines:
        print(f"{name:<11} {line}" if prefixed else line, flush=True)
