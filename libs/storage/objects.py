"""Objects on S3: bytes in, bytes out, presigned URLs.

boto3 is synchronous; every call runs in a thread, so the event loop never waits for the network.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class StorageUnavailable(Exception):
    """The object store does not answer or refuses; the operation may be repeated."""


@dataclass(frozen=True)
class StorageSettings:
    """How to reach a store. Empty keys mean the cloud's own credentials (IRSA)."""

    region: str
    bucket: str
    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None


def build_client(settings: StorageSettings, endpoint_url: str | None) -> "S3Client":
    """A client with short timeouts, three tries and Signature Version 4."""
    return boto3.client(
        "s3",
        region_name=settings.region,
        endpoint_url=endpoint_url,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if endpoint_url else "virtual"},
            retries={"max_attempts": 3, "mode": "standard"},
            connect_timeout=3,
            read_timeout=20,
            max_pool_connections=20,
        ),
    )


class ObjectStore:
    """One bucket. Two clients: presigned URLs name the host that browsers use."""

    def __init__(self, settings: StorageSettings) -> None:
        self.bucket = settings.bucket
        self._client = build_client(settings, settings.endpoint_url)
        self._public = build_client(settings, settings.public_endpoint_url or settings.endpoint_url)

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store an object; the same key overwrites. Raises StorageUnavailable."""
        await asyncio.to_thread(self._put, key, body, content_type)

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        try:
            self._client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=body,
                ContentType=content_type,
                CacheControl="private, max-age=31536000, immutable",
            )
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable(f"put {key}") from error

    async def get(self, key: str) -> bytes:
        """The bytes of an object. Raises StorageUnavailable, also when there is no such key."""
        return await asyncio.to_thread(self._get, key)

    def _get(self, key: str) -> bytes:
        try:
            return self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable(f"get {key}") from error

    def presign_get(self, key: str, *, lifetime_seconds: int) -> str:
        """A URL that reads one object until it expires; signing needs no network."""
        params = {"Bucket": self.bucket, "Key": key}
        return self._public.generate_presigned_url(
            "get_object", Params=params, ExpiresIn=lifetime_seconds
        )

    async def check(self) -> None:
        """Readiness: raises StorageUnavailable if the bucket cannot be reached."""
        try:
            await asyncio.to_thread(self._client.head_bucket, Bucket=self.bucket)
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable("head bucket") from error
