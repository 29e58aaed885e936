"""Objects on S3: bytes in, bytes out, presigned URLs.

boto3 is synchronous; every call runs in a thread, so the event loop never waits for the network.
"""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 2**20


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
            # else the checksum of a whole object is expected of the part of it that was asked for
            response_checksum_validation="when_required",
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

    async def download(self, key: str, file: Path) -> None:
        """Append to a file what it lacks of an object. Raises StorageUnavailable, having kept what
        came before."""
        await asyncio.to_thread(self._download, key, file)

    def _download(self, key: str, file: Path) -> None:
        begin = file.stat().st_size if file.exists() else 0
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={begin}-")
            with closing(answer["Body"]) as body, file.open("ab") as opened:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    opened.write(chunk)
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable(f"download {key}: {error}") from error

    async def upload(self, key: str, file: Path) -> None:
        """Store a file of any size. Raises StorageUnavailable."""
        try:
            await asyncio.to_thread(self._client.upload_file, str(file), self.bucket, key)
        except (BotoCoreError, ClientError, Boto3Error) as error:
            raise StorageUnavailable(f"upload {key}") from error

    async def read_at_most(self, key: str, max_bytes: int) -> bytes | None:
        """The first bytes of an object; None if there is none. Raises StorageUnavailable."""
        return await asyncio.to_thread(self._read_at_most, key, max_bytes)

    def _read_at_most(self, key: str, max_bytes: int) -> bytes | None:
        try:
            with closing(self._client.get_object(Bucket=self.bucket, Key=key)["Body"]) as body:
                return body.read(max_bytes)
        except ClientError as error:
            if error_code(error) == "NoSuchKey":
                return None
            raise StorageUnavailable(f"read {key}") from error
        except BotoCoreError as error:
            raise StorageUnavailable(f"read {key}") from error

    async def size_of(self, key: str) -> int | None:
        """Bytes of an object; None if there is none. Raises StorageUnavailable."""
        try:
            return int((await self._call("head_object", key))["ContentLength"])
        except StorageUnavailable as error:
            if is_missing(error):
                return None
            raise

    async def list_keys(self, prefix: str) -> list[str]:
        """The keys that begin so, in their order. Raises StorageUnavailable."""
        return await asyncio.to_thread(self._list_keys, prefix)

    def _list_keys(self, prefix: str) -> list[str]:
        try:
            pages = self._client.get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=self.bucket, Prefix=prefix)
            return [one["Key"] for page in found for one in page.get("Contents", [])]
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable(f"list {prefix}") from error

    async def delete(self, *keys: str) -> None:
        """Delete objects, whether they are there or not. Raises StorageUnavailable."""
        for key in keys:
            await self._call("delete_object", key)

    async def delete_below(self, prefix: str, *, pages: int) -> bool:
        """Delete objects whose keys begin so, at most `pages` times a thousand.

        True: none is left. Raises ValueError for an empty prefix, StorageUnavailable.
        """
        if not prefix:
            raise ValueError("an empty prefix is everything")
        for _ in range(pages):
            if not await asyncio.to_thread(self._delete_page, prefix):
                return True
        return False

    def _delete_page(self, prefix: str) -> bool:
        try:
            listed = self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
            keys = [found["Key"] for found in listed.get("Contents", [])]
            if not keys:
                return False
            deleted = self._client.delete_objects(
                Bucket=self.bucket,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            )
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable(f"delete below {prefix}") from error
        if deleted.get("Errors"):
            raise StorageUnavailable(f"delete below {prefix}")
        return True

    async def begin_upload(self, key: str, *, content_type: str) -> str:
        """Begin an object that is put in parts; the id of the upload. Raises StorageUnavailable.

        Nothing is there to read before it is finished.
        """
        answer = await self._call("create_multipart_upload", key, ContentType=content_type)
        return str(answer["UploadId"])

    async def put_part(self, key: str, upload_id: str, number: int, body: bytes) -> str:
        """One part, of at least 5 MiB unless it is the last; its tag. Raises StorageUnavailable."""
        where = {"UploadId": upload_id, "PartNumber": number}
        return str((await self._call("upload_part", key, **where, Body=body))["ETag"])

    async def finish_upload(self, key: str, upload_id: str, tags: Sequence[str]) -> None:
        """Make the object of its parts, in their order. Raises StorageUnavailable."""
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, start=1)]
        await self._call(
            "complete_multipart_upload", key, UploadId=upload_id, MultipartUpload={"Parts": parts}
        )

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Let go of the parts; of an upload that is over, nothing. Raises StorageUnavailable."""
        try:
            await self._call("abort_multipart_upload", key, UploadId=upload_id)
        except StorageUnavailable as error:
            cause = error.__cause__
            if not isinstance(cause, ClientError) or error_code(cause) != "NoSuchUpload":
                raise

    async def _call(self, operation: str, key: str, **arguments: Any) -> Any:
        try:
            call = getattr(self._client, operation)
            return await asyncio.to_thread(call, Bucket=self.bucket, Key=key, **arguments)
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable(f"{operation} {key}") from error

    def presign_get(self, key: str, *, lifetime_seconds: int) -> str:
        """A URL that reads one object until it expires; signing needs no network."""
        params = {"Bucket": self.bucket, "Key": key}
        return self._public.generate_presigned_url(
            "get_object", Params=params, ExpiresIn=lifetime_seconds
        )

    def presign_put(
        self,
        key: str,
        *,
        content_type: str,
        size_bytes: int,
        sha256: bytes | None,
        lifetime_seconds: int,
    ) -> tuple[str, dict[str, str]]:
        """A URL that stores one object until it expires, and the headers to send beside the length.

        Type and length are signed, so the store refuses any other; a store that knows checksums
        (S3 does, the local endpoint does not) also refuses other bytes than those of `sha256`.
        """
        params: dict[str, Any] = {"ContentType": content_type, "ContentLength": size_bytes}
        headers = {"Content-Type": content_type}
        if sha256 is not None:
            params["ChecksumSHA256"] = b64encode(sha256).decode()
            headers["x-amz-checksum-sha256"] = params["ChecksumSHA256"]
        url = self._public.generate_presigned_url(
            "put_object",
            Params={"Bucket": self.bucket, "Key": key, **params},
            ExpiresIn=lifetime_seconds,
        )
        return url, headers

    async def check(self) -> None:
        """Readiness: raises StorageUnavailable if the bucket cannot be reached."""
        try:
            await asyncio.to_thread(self._client.head_bucket, Bucket=self.bucket)
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable("head bucket") from error


def is_missing(error: StorageUnavailable) -> bool:
    """Whether there is no such object, rather than no answer."""
    cause = error.__cause__
    return isinstance(cause, ClientError) and error_code(cause) in ("NoSuchKey", "404")


def error_code(error: ClientError) -> str:
    """What the store calls a refusal: `NoSuchUpload`."""
    return str(error.response.get("Error", {}).get("Code", ""))
