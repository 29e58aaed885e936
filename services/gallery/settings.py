"""Settings of the gallery service."""

from libs.auth.tenant_application import TenantServiceSettings


class GallerySettings(TenantServiceSettings):
    """Where the pictures lie; `s3_public_endpoint_url` is the host in presigned URLs."""

    s3_bucket_images: str
    s3_region: str
    s3_endpoint_url: str | None = None
    s3_public_endpoint_url: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: str | None = None
