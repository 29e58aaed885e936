"""Settings of the generation service's three processes: the API, the worker, the relay."""

from pathlib import Path

from libs.auth.tenant_application import TenantServiceSettings
from libs.kernel.settings import Settings
from libs.moderation.settings import ModerationSettings
from libs.storage.objects import ObjectStore, StorageSettings
from services.generation.waiting import Overload


class GenerationSettings(TenantServiceSettings, ModerationSettings):
    """The API."""

    model_service_url: str
    webhooks_allow_private: bool = False  # on a developer's machine alone: URLs that lead inside
    overload: Overload = "refuse"  # who would start too late; or accept, and tell the wait


class BackgroundSettings(Settings):
    """What worker and relay share."""

    database_url: str
    redis_url: str
    metrics_port: int


class ModelStoreSettings(Settings):
    """Where models come from. Without a bucket Triton's folder holds all that there are."""

    s3_bucket_models: str = ""
    s3_region: str
    s3_endpoint_url: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: str | None = None


class WorkerSettings(BackgroundSettings, ModerationSettings, ModelStoreSettings):
    """The worker beside one Triton server.

    `worker_checkpoint_every`: steps between two checkpoints of a picture, 0 for none.
    `worker_restart_triton`: the command that restarts Triton here, where loading its engine anew
    does not help; without one whoever probes Triton has to. `models_dir` is Triton's, too; of what
    was fetched into it at most `worker_models_gib` stay, 0 for no limit.
    """

    triton_grpc_url: str
    triton_control_key: str = ""
    worker_pool: str = "standard"  # several, separated by commas, in the order of their service
    worker_concurrency: int = 4
    worker_checkpoint_every: int = 5
    worker_restart_triton: str = ""
    models_dir: Path | None = None
    worker_models_gib: float = 0.0
    worker_prefetch: str = ""  # models that are fetched before anybody asks, separated by commas
    s3_bucket_images: str

    @property
    def pools(self) -> tuple[str, ...]:
        """The GPU pools whose jobs this worker runs."""
        return split_words(self.worker_pool)


def split_words(text: str) -> tuple[str, ...]:
    """What is between commas."""
    return tuple(word for part in text.split(",") if (word := part.strip()))


def store_of(settings: ModelStoreSettings, bucket: str) -> ObjectStore:
    """A bucket of the settings' object storage."""
    return ObjectStore(
        StorageSettings(
            region=settings.s3_region,
            bucket=bucket,
            endpoint_url=settings.s3_endpoint_url,
            access_key_id=settings.s3_access_key_id,
            secret_access_key=settings.s3_secret_access_key,
        )
    )


def model_store_of(settings: ModelStoreSettings) -> ObjectStore | None:
    """The bucket of models, if there is one."""
    bucket = settings.s3_bucket_models
    return store_of(settings, bucket) if bucket else None


class RelaySettings(BackgroundSettings):
    """The outbox relay, the sweeper and the sender of webhooks."""

    webhooks_allow_private: bool = False  # as the API's
