"""The repository's own files as the architecture tests see them: read, never imported."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("bench", "dev", "inference", "libs", "services", "sim", "tests")
# What git ignores inside the rooms.
GENERATED = {"__pycache__", ".pytest_cache", ".hypothesis", ".mypy_cache", ".ruff_cache"}


def files_below(*tops: str) -> Iterator[Path]:
    """Every file below the given top folders, as a path from the root."""
    for top in tops:
        for path in sorted((ROOT / top).rglob("*")):
            if path.is_file() and GENERATED.isdisjoint(path.parts):
                yield path.relative_to(ROOT)


@cache
def python_files() -> tuple[Path, ...]:
    return tuple(path for path in files_below(*ROOMS) if path.suffix == ".py")


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), filename=str(path))


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names that a file imports; `from a.b import c` counts as `a.b.c`, module or not."""
    found: set[str] = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively; path is name"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def first_party(path: Path) -> frozenset[str]:
    return frozenset(name for name in imports(path) if name.split(".")[0] in ROOMS)


def below(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of the packages or lies in one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def build_calls(path: Path) -> list[ast.Call]:
    """The top-level calls of a BUILD file: what the folder declares."""
    tree = ast.parse((ROOT / path).read_text(), filename=str(path))
    statements = [node.value for node in tree.body if isinstance(node, ast.Expr)]
    return [value for value in statements if isinstance(value, ast.Call)]


def called(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Name)
    return call.func.id
