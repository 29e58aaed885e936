"""docs/isolation-matrix.md says what the routes declare."""

from tests.isolation.page import PAGE, build_declared, render


def test_the_page_is_what_the_routes_declare() -> None:
    stale = "stale: run python -m tests.isolation.page"
    assert PAGE.read_text() == render(build_declared()), stale
