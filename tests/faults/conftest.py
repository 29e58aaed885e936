"""One platform for all faults."""

from collections.abc import Iterator

import pytest

from tests.running_platform import Platform, User, running_platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("platform")) as started:
        yield started


@pytest.fixture
def user(platform: Platform) -> User:
    """Somebody whom the platform has never seen."""
    return platform.sign_up()
