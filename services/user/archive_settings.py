"""Where the archives of exports lie: beside the pictures, below a prefix of their own."""

from libs.kernel.settings import Settings
from libs.storage.objects import StorageSettings


class ArchiveSettings(Settings):
    """`s3_public_endpoint_url` is the host in presigned URLs."""

    s3_bucket_images: str = "easel-images"
    s3_region: str = "ap-northeast-2"
    s3_endpoint_url: str | None = None
    s3_public_endpoint_url: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: str | None = None

    @property
    def storage(self) -> StorageSettings:
        """How to reach the store."""
        return StorageSettings(
            region=self.s3_region,
            bucket=self.s3_bucket_images,
            endpoint_url=self.s3_endpoint_url,
            public_endpoint_url=self.s3_public_endpoint_url,
            access_key_id=self.s3_access_key_id,
            secret_access_key=self.s3_secret_access_key,
        )
