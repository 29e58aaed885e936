"""The running services as a fixture; a `conftest.py` imports it, and with it every service."""

from collections.abc import Iterator

import pytest

from libs.storage.objects import StorageSettings
from libs.testkit.postgres import Server
from tests.stack.running import Stack, running_stack


@pytest.fixture(scope="session")
def stack(
    postgres_server: Server,
    redis_url: str,
    storage_settings: StorageSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """One for all tests of a pytest process: each makes people of its own."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(postgres_server, redis_url, storage_settings, folder) as running:
        yield running
