"""Every requirement of ASVS levels 1 and 2 has a line, and what it names is there."""

import ast
from functools import cache

import pytest

from tests.security.asvs import PAGE, ROOT, Requirement, read_requirements, render

PROVEN_AT_LEAST = 0.7
# Section -> the level of each of its requirements, in order; those of level 3 alone come after.
LEVELS = {
    "1.1": "22",
    "1.2": "111112222",
    "1.3": "11222222222",
    "1.4": "222",
    "1.5": "12",
    "2.1": "122",
    "2.2": "112",
    "2.3": "1222",
    "2.4": "2",
    "3.2": "11",
    "3.3": "1222",
    "3.4": "112222",
    "3.5": "11122",
    "3.7": "22",
    "4.1": "122",
    "4.2": "2",
    "4.3": "22",
    "4.4": "1222",
    "5.1": "2",
    "5.2": "112",
    "5.3": "11",
    "5.4": "222",
    "6.1": "122",
    "6.2": "111111112222",
    "6.3": "1122",
    "6.4": "1122",
    "6.5": "22222",
    "6.6": "222",
    "6.8": "2222",
    "7.1": "222",
    "7.2": "1111",
    "7.3": "22",
    "7.4": "11222",
    "7.5": "22",
    "7.6": "22",
    "8.1": "12",
    "8.2": "112",
    "8.3": "1",
    "8.4": "2",
    "9.1": "111",
    "9.2": "1222",
    "10.1": "22",
    "10.2": "22",
    "10.3": "2222",
    "10.4": "11111222222",
    "10.5": "22222",
    "10.6": "22",
    "10.7": "222",
    "11.1": "22",
    "11.2": "222",
    "11.3": "112",
    "11.4": "1222",
    "11.5": "2",
    "11.6": "2",
    "12.1": "122",
    "12.2": "11",
    "12.3": "2222",
    "13.1": "2",
    "13.2": "22222",
    "13.3": "22",
    "13.4": "12222",
    "14.1": "22",
    "14.2": "1222",
    "14.3": "122",
    "15.1": "122",
    "15.2": "122",
    "15.3": "1222222",
    "16.1": "2",
    "16.2": "22222",
    "16.3": "2222",
    "16.4": "222",
    "16.5": "222",
    "17.1": "2",
    "17.2": "2222",
    "17.3": "22",
}
REQUIREMENTS = read_requirements()


@cache
def functions_of(path: str) -> frozenset[str]:
    """Names of the functions in a source file."""
    tree = ast.parse((ROOT / path).read_text(), filename=path)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def test_every_requirement_has_one_line() -> None:
    wanted = [
        (f"{section}.{number}", int(level))
        for section, levels in LEVELS.items()
        for number, level in enumerate(levels, 1)
    ]
    assert len(wanted) == 253
    assert [(one.id, one.level) for one in REQUIREMENTS] == wanted


def test_every_line_says_how_or_why() -> None:
    assert {one.status for one in REQUIREMENTS} == {"met", "open", "does not apply"}
    assert [one.id for one in REQUIREMENTS if not (one.requirement and one.how)] == []


def test_what_is_met_names_where() -> None:
    assert [one.id for one in REQUIREMENTS if one.status == "met" and not one.code] == []


@pytest.mark.parametrize("one", REQUIREMENTS, ids=lambda one: one.id)
def test_what_a_line_names_is_there(one: Requirement) -> None:
    assert [path for path in one.code if not (ROOT / path).exists()] == []
    for test in one.tests:
        path, _, name = test.partition("::")
        assert name.startswith("test_") and name in functions_of(path), test


def test_most_of_what_applies_is_proven_by_a_test() -> None:
    applying = [one for one in REQUIREMENTS if one.applies]
    proven = [one for one in applying if one.tests]
    assert len(proven) / len(applying) >= PROVEN_AT_LEAST


def test_the_page_is_what_the_data_say() -> None:
    assert PAGE.read_text() == render(REQUIREMENTS), "stale: run python -m tests.security.asvs"
