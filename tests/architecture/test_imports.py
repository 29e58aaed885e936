"""Calls go down. BUILD files refuse a wrong import when it is built; this reads."""

import ast
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import (
    ROOT,
    below,
    build_calls,
    called,
    first_party,
    imports,
    python_files,
)

LIBRARY_LAYERS = (
    {"kernel"},
    {"telemetry"},
    {"db"},
    {"audit", "events", "mail", "moderation", "storage", "tiers", "triton"},
    {"credits", "web"},
    {"auth"},
    {"jobs", "privacy", "webhooks"},
    {"testkit"},
)
LAYER = {name: level for level, names in enumerate(LIBRARY_LAYERS) for name in names}
# Inside a service: a module imports none that stands higher.
SERVICE_LAYER = {"models": 0, "repository": 1, "service": 2, "routes": 3, "tasks": 3}
COMPOSITION_ROOTS = {"app", "worker", "relay"}


def files_of(*folder: str) -> list[Path]:
    return [path for path in python_files() if path.parts[: len(folder)] == folder]


def named_below(build: Path) -> set[str]:
    """The rooms that a BUILD file's one declaration names."""
    (call,) = build_calls(build)
    return {ast.literal_eval(argument) for argument in call.args}


def libraries() -> list[str]:
    return sorted(path.parent.name for path in (ROOT / "libs").glob("*/BUILD"))


def services() -> list[str]:
    return sorted(path.parent.name for path in (ROOT / "services").glob("*/BUILD"))


@pytest.mark.parametrize("name", libraries())
def test_a_library_names_only_lower_libraries(name: str) -> None:
    named = named_below(Path("libs", name, "BUILD"))
    assert {other for other in named if LAYER[other] >= LAYER[name]} == set()


@pytest.mark.parametrize("name", libraries())
def test_a_library_imports_what_its_build_file_names(name: str) -> None:
    allowed = {f"libs.{other}" for other in named_below(Path("libs", name, "BUILD"))}
    allowed |= {f"libs.{name}"} | ({"dev.parts"} if name == "testkit" else set())
    wrong = {
        f"{path}: {module}"
        for path in files_of("libs", name)
        for module in first_party(path)
        if not below(module, *allowed)
    }
    assert wrong == set()


@pytest.mark.parametrize("name", libraries())
def test_a_library_names_no_more_than_it_imports(name: str) -> None:
    used = {module.split(".")[1] for path in files_of("libs", name) for module in first_party(path)}
    assert named_below(Path("libs", name, "BUILD")) - used == set()


@pytest.mark.parametrize("name", services())
def test_a_service_reaches_another_through_its_client(name: str) -> None:
    wrong = {
        f"{path}: {module}"
        for path in files_of("services", name)
        for module in first_party(path)
        if not below(module, "libs", f"services.{name}")
        and not (below(module, "services") and module.split(".")[2:3] == ["client"])
    }
    assert wrong == set()


@pytest.mark.parametrize("name", services())
def test_a_service_calls_down(name: str) -> None:
    wrong = set()
    for path in files_of("services", name):
        layer = SERVICE_LAYER.get(path.with_suffix("").parts[2])
        for module in first_party(path):
            parts = module.split(".")
            if layer is not None and parts[:2] == ["services", name]:
                if SERVICE_LAYER.get(parts[2], 0) > layer:
                    wrong.add(f"{path}: {module}")
    assert wrong == set()


def test_nobody_imports_a_composition_root() -> None:
    wrong = {
        f"{path}: {module}"
        for path in python_files()
        for module in first_party(path)
        if below(module, "services")
        and set(module.split(".")[2:3]) & COMPOSITION_ROOTS
        and path.parts[0] != "tests"
    }
    assert wrong == set()


def test_the_testkit_is_for_tests() -> None:
    wrong = {
        str(path)
        for path in python_files()
        if path.parts[0] != "tests" and path.parts[:2] != ("libs", "testkit")
        for module in first_party(path)
        if below(module, "libs.testkit", "tests")
    }
    assert wrong == set()


def test_inference_imports_third_party_code_and_lower_rooms() -> None:
    wrong = set()
    for path in files_of("inference"):
        room = path.parts[1]
        named = named_below(Path("inference", room, "BUILD")) | {room}
        allowed = [f"inference.{other}" for other in named]
        wrong |= {f"{path}: {name}" for name in first_party(path) if not below(name, *allowed)}
    assert wrong == set()


def test_pipelines_import_no_room() -> None:
    assert named_below(Path("inference", "pipelines", "BUILD")) == set()


def may_import_leaf(path: Path, module: str) -> bool:
    """Tests and benchmarks may import every leaf; the testkit starts parts as `dev/` does."""
    if path.parts[0] in ("tests", "bench", module.split(".")[0]):
        return True
    return path.parts[:2] == ("libs", "testkit") and below(module, "dev.parts")


def test_leaves_are_imported_by_nobody() -> None:
    wrong = {
        f"{path}: {module}"
        for path in python_files()
        for module in first_party(path)
        if below(module, "bench", "dev", "sim") and not may_import_leaf(path, module)
    }
    assert wrong == set()


def test_the_local_parts_need_nothing_but_python() -> None:
    allowed = sys.stdlib_module_names | {"dev"}
    wrong = {
        f"{path}: {module}"
        for path in files_of("dev", "parts")
        for module in imports(path)
        if module.split(".")[0] not in allowed
        or below(module, "dev")
        and not below(module, "dev.parts")
    }
    assert wrong == set()


def test_every_library_has_a_layer() -> None:
    assert set(libraries()) <= set(LAYER)
    for name in libraries():
        (call,) = build_calls(Path("libs", name, "BUILD"))
        assert called(call) == ("testkit" if name == "testkit" else "library")
