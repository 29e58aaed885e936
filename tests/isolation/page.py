"""docs/isolation-matrix.md: what everybody is answered, from the declarations of all operations.

python -m tests.isolation.page        writes the page anew
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from libs.auth.principals import SCOPES
from libs.auth.signing_keys import make_signing_key
from tests.isolation.expectations import (
    ADMIN,
    ENDED,
    NOBODY,
    OWNER,
    SERVICE,
    STRANGER,
    SUPPORT,
    Caller,
    expected,
)
from tests.isolation.operations import Operation, all_operations
from tests.stack.services import SERVICES, build_apps, settings_of_nowhere

PAGE = Path(__file__).resolve().parents[2] / "docs" / "isolation-matrix.md"
COLUMNS: tuple[tuple[str, Caller], ...] = (
    ("nobody", NOBODY),
    ("A", OWNER),
    ("B", STRANGER),
    ("support", SUPPORT),
    ("admin", ADMIN),
    ("A's key with the scope", Caller("", "key", is_owner=True, scopes=SCOPES)),
    ("A's key without it", Caller("", "key", is_owner=True)),
    ("ended, expired, suspended", ENDED[0]),
    ("listed service, for A", SERVICE),
    ("other service", Caller("", "service", is_owner=True, is_listed=False)),
)
HEAD = """# Who is answered what

Generated from what every route declares (`libs/auth/access.py`, shown as `x-access` in each
service's OpenAPI document) by `python -m tests.isolation.page`; a test fails when it is stale.
`tests/isolation/test_matrix.py` asks every operation of the running services as every one of these
callers, and fails where an answer is another.

Everybody asks for what is A's. **yes**: the operation answers. **404**: as for a thing that never
was. **403**: known, but not allowed. **401**: not known. B, support and admin are other users than
A; a key without the scope asks with each other scope, and with all of them. Nobody but A sees or
changes A's rows: they are compared, byte for byte, after each operation.
"""


def build_declared() -> list[Operation]:
    """The operations of all services, as their applications declare them; nothing connects."""
    with TemporaryDirectory() as folder:
        make_signing_key(Path(folder), datetime.now(UTC))
        return all_operations(build_apps(settings_of_nowhere(Path(folder))))


def cell(operation: Operation, caller: Caller) -> str:
    answer = expected(operation, caller)
    return "**yes**" if answer == "enters" else answer


def declaration(operation: Operation) -> str:
    """Who may enter, in a word, and with what."""
    if operation.who == "service":
        return "service " + ", ".join(operation.callers)
    return operation.who + (f", `{operation.scope}`" if operation.scope else "")


def table(operations: Sequence[Operation]) -> Iterator[str]:
    names = ["operation", "declared", *(name for name, _ in COLUMNS)]
    yield "| " + " | ".join(names) + " |"
    yield "|---" * len(names) + "|"
    for operation in operations:
        cells = [cell(operation, caller) for _, caller in COLUMNS]
        yield "| " + " | ".join([f"`{operation}`", declaration(operation), *cells]) + " |"


def render(operations: Sequence[Operation]) -> str:
    """The whole page."""
    parts = [HEAD]
    for service in SERVICES:
        own = [operation for operation in operations if operation.service == service]
        if not own:
            continue  # the pages: files, the same for everybody
        parts += [f"\n## {service}\n", "\n".join(table(own)), ""]
    asked = sum(1 for operation in operations if operation.who != "anyone")
    parts.append(f"\n{len(operations)} operations, {asked} of them with a door.")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(build_declared()))
