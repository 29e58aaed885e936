"""Files and functions stay small, names say something, and every source belongs to a target."""

import ast
from pathlib import Path

from tests.architecture.source_tree import (
    ROOMS,
    ROOT,
    build_calls,
    called,
    files_below,
    parse,
    python_files,
)

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}
DECLARATIONS = {
    "bench": {"leaf"},
    "dev": {"local_platform"},
    "inference": {"inference_room", "files"},
    "libs": {"library", "testkit"},
    "services": {"service"},
    "sim": {"leaf"},
    "tests": {"fixtures", "tests"},
}


def test_files_are_short() -> None:
    lines = {path: len((ROOT / path).read_text().splitlines()) for path in python_files()}
    assert {str(path): n for path, n in lines.items() if n > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    long = {}
    for path in python_files():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long[f"{path}:{node.lineno} {node.name}"] = lines
    assert long == {}


def test_names_say_something() -> None:
    words = {
        str(path): EMPTY_NAMES & set(path.with_suffix("").parts + tuple(path.stem.split("_")))
        for path in files_below(*ROOMS)
    }
    assert {path: found for path, found in words.items() if found} == {}


def test_packages_need_no_init_file() -> None:
    assert [str(path) for path in python_files() if path.name == "__init__.py"] == []


def owner(path: Path) -> Path | None:
    """The nearest BUILD file above a source, inside its room."""
    for folder in path.parents[:-1]:
        if (ROOT / folder / "BUILD").is_file():
            return folder / "BUILD"
    return None


def test_every_source_has_an_owner() -> None:
    assert [str(path) for path in python_files() if owner(path) is None] == []


def test_every_build_file_declares_one_room() -> None:
    wrong = {}
    for path in files_below(*ROOMS):
        if path.name == "BUILD":
            rooms = [
                name
                for name in map(called, build_calls(path))
                if name in DECLARATIONS[path.parts[0]]
            ]
            if len(rooms) != 1:
                wrong[str(path)] = rooms
    assert wrong == {}


def written_out_files(build: Path) -> list[str]:
    """File names, not patterns, that a BUILD file gives to `data`, `servers` or `platform`."""
    values = [
        ast.literal_eval(keyword.value)
        for call in build_calls(build)
        for keyword in call.keywords
        if keyword.arg in ("data", "servers", "platform")
    ]
    return [name for names in values for name in names if "*" not in name]


def test_files_that_build_files_name_exist() -> None:
    missing = [
        f"{build}: {name}"
        for build in files_below(*ROOMS)
        if build.name == "BUILD"
        for name in written_out_files(build)
        if not (ROOT / build.parent / name).is_file()
    ]
    assert missing == []
