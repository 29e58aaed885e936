"""Settings of the generation service's three processes: the API, the worker, the relay."""

from libs.auth.tenant_application import TenantServiceSettings
from libs.kernel.settings import Settings
from libs.moderation.settings import ModerationSettings
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


class WorkerSettings(BackgroundSettings, ModerationSettings):
    """The worker beside one Triton server.

    `worker_checkpoint_every`: steps between two checkpoints of a picture, 0 for none.
    `worker_restart_triton`: the command that restarts Triton here, where loading its engine anew
    does not help; without one whoever probes Triton has to.
    """

    triton_grpc_url: str
    triton_control_key: str = ""
    worker_pool: str = "standard"  # several, separated by commas, in the order of their service
    worker_concurrency: int = 4
    worker_checkpoint_every: int = 5
    worker_restart_triton: str = ""
    s3_bucket_images: str
    s3_region: str
    s3_endpoint_url: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: str | None = None

    @property
    def pools(self) -> tuple[str, ...]:
        """The GPU pools whose jobs this worker runs."""
        return tuple(pool.strip() for pool in self.worker_pool.split(","))


class RelaySettings(BackgroundSettings):
    """The outbox relay, the sweeper and the sender of webhooks."""

    webhooks_allow_private: bool = False  # as the API's
