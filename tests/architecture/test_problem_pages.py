"""Every failure has a page: the `type` of a problem answer is `/problems/<slug>`."""

import ast
from collections.abc import Iterator

from tests.architecture.source_tree import ROOT, parse, python_files

PAGES = ROOT / "docs" / "problems"


def classes() -> list[ast.ClassDef]:
    return [
        node
        for path in python_files()
        if path.parts[0] in ("libs", "services")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef)
    ]


def base_names(node: ast.ClassDef) -> set[str]:
    return {ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases}


def problem_classes() -> list[ast.ClassDef]:
    """`Problem` and all that inherit from it, by name."""
    everything = classes()
    names = {"Problem"}
    while more := {c.name for c in everything if base_names(c) & names} - names:
        names |= more
    return [node for node in everything if node.name in names]


def assignments(node: ast.ClassDef) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Target and value of each class attribute, assigned with a type, alone or in a tuple."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            yield statement.target, statement.value
        elif isinstance(statement, ast.Assign):
            target, value = statement.targets[0], statement.value
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                yield from zip(target.elts, value.elts, strict=True)
            else:
                yield target, value


def constant(node: ast.ClassDef, attribute: str) -> object:
    """The value of a class attribute; None if it is not set there."""
    for target, value in assignments(node):
        if isinstance(target, ast.Name) and target.id == attribute:
            return ast.literal_eval(value)
    return None


def slugs() -> set[str]:
    return {str(slug) for node in problem_classes() if (slug := constant(node, "slug"))}


def test_the_reading_finds_the_problems() -> None:
    assert {"internal-error", "not-found", "validation-failed"} <= slugs()


def test_every_problem_has_a_page() -> None:
    assert sorted(slug for slug in slugs() if not (PAGES / f"{slug}.md").is_file()) == []


def test_every_page_has_a_problem() -> None:
    pages = {page.stem for page in PAGES.glob("*.md")} - {"README", "index"}
    assert pages - slugs() == set()


def test_a_slug_belongs_to_one_class() -> None:
    owners: dict[object, list[str]] = {}
    for node in problem_classes():
        if slug := constant(node, "slug"):
            owners.setdefault(slug, []).append(node.name)
    assert {slug: names for slug, names in owners.items() if len(names) > 1} == {}
