from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from libs.db.engine import Sessions
from libs.storage.objects import ObjectStore, StorageSettings
from libs.testkit.postgres import Database
from libs.testkit.tokens import TokenIssuer
from services.gallery.app import build_app
from services.gallery.settings import GallerySettings
from tests.services.callers import Caller, new_caller
from tests.services.gallery.worker import Worker

REDIS = "redis://127.0.0.1:1/0"  # away: nothing is counted


@pytest.fixture
async def api(
    database: Database, storage_settings: StorageSettings, issuer: TokenIssuer
) -> AsyncIterator[httpx.AsyncClient]:
    """The gallery service on real PostgreSQL and S3."""
    app = build_app(
        GallerySettings(
            port=0,
            database_url=database.url("gallery"),
            jwks_url="http://issuer",
            redis_url=REDIS,
            s3_bucket_images=storage_settings.bucket,
            s3_region=storage_settings.region,
            s3_endpoint_url=storage_settings.endpoint_url,
            s3_access_key_id=storage_settings.access_key_id,
            s3_secret_access_key=storage_settings.secret_access_key,
        )
    )
    app.state.token_verifier = issuer.verifier()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gallery") as client,
    ):
        yield client


@pytest.fixture
def worker(sessions: Callable[[str], Sessions], store: ObjectStore) -> Worker:
    """A generation worker that has just finished pictures."""
    return Worker(sessions("worker"), store)


@pytest.fixture
def ada(api: httpx.AsyncClient, issuer: TokenIssuer) -> Caller:
    return new_caller(api, issuer)


@pytest.fixture
def eve(api: httpx.AsyncClient, issuer: TokenIssuer) -> Caller:
    """Somebody else."""
    return new_caller(api, issuer)
