"""Settings of the account worker, which erases and exports."""

from pydantic import DirectoryPath

from services.user.archive_settings import ArchiveSettings


class AccountSettings(ArchiveSettings):
    """Its database login is easel_account; it signs tokens of the user service for the others."""

    database_url: str
    metrics_port: int
    signing_keys: DirectoryPath
    token_issuer: str = "easel"
    payment_service_url: str
    generation_service_url: str
    gallery_service_url: str
    model_service_url: str
