"""A real S3 endpoint for tests: it checks signatures and keeps objects in a folder."""

import secrets
from collections.abc import Iterator

import pytest

from dev.parts.program import LOOPBACK, free_port, services_python
from dev.parts.s3 import s3
from libs.storage.objects import ObjectStore, StorageSettings
from libs.testkit.running import running

BUCKET = "easel-images"


@pytest.fixture(scope="session")
def storage_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageSettings]:
    """How to reach the endpoint; the bucket exists."""
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    settings = StorageSettings(
        region="ap-northeast-2",
        bucket=BUCKET,
        endpoint_url=f"http://{LOOPBACK}:{port}",
        access_key_id=secrets.token_hex(8),
        secret_access_key=secrets.token_hex(16),
    )
    keys = (str(settings.access_key_id), str(settings.secret_access_key))
    with running(s3(services_python(), port, folder / "data", *keys, BUCKET), folder):
        yield settings


@pytest.fixture
def store(storage_settings: StorageSettings) -> ObjectStore:
    """The bucket."""
    return ObjectStore(storage_settings)
