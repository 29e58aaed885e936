"""The tests that walk every route know every service."""

from pathlib import Path

from tests.architecture.source_tree import imports, python_files

WALKED = Path("tests/stack/services.py")


def test_every_service_is_walked() -> None:
    roots = [path for path in python_files() if path.match("services/*/app.py")]
    builders = {f"{'.'.join(path.with_suffix('').parts)}.build_app" for path in roots}
    assert builders and builders - imports(WALKED) == set()
