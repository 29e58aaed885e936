"""Requests and answers of the gallery API."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from libs.web.text_fields import Name

MAX_UPLOAD_BYTES = 20 * 2**20


Source = Literal["generation", "upload"]


class ImageAnswer(BaseModel):
    """An image with URLs that read it until `urls_expire_at`.

    One that was uploaded has no generation, seed, model, prompt or parameters.
    """

    id: UUID
    source: Source
    generation_id: UUID | None
    url: str
    thumbnail_url: str
    urls_expire_at: datetime
    format: str
    width: int
    height: int
    size_bytes: int
    seed: int | None
    model: str | None
    prompt: str
    negative_prompt: str
    parameters: dict[str, Any]
    starred: bool
    created_at: datetime


class ImageChange(BaseModel):
    """What an owner may change of an image."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"starred": True}]})

    starred: StrictBool


class BoardRequest(BaseModel):
    """A board's name, unique among the caller's boards."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Fruit"}]})

    name: Name


class BoardAnswer(BaseModel):
    """A board and how many images are on it."""

    id: UUID
    name: str
    images: int
    created_at: datetime


class UploadRequest(BaseModel):
    """A file that is to be uploaded. With `sha256` (hexadecimal) only that very file is taken."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"content_type": "image/png", "bytes": 48_213}]},
    )

    content_type: Literal["image/png", "image/jpeg", "image/webp"]
    bytes: int = Field(ge=1, le=MAX_UPLOAD_BYTES)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class UploadTarget(BaseModel):
    """The one request that sends the file: exactly these headers, and the file as its body."""

    method: Literal["PUT"]
    url: str
    headers: dict[str, str]


class UploadAnswer(BaseModel):
    """Where to send the file; `complete` it until `expires_at`. The URL lives 15 minutes.

    `id` is the id that the image will have.
    """

    id: UUID
    upload: UploadTarget
    expires_at: datetime


class StorageAnswer(BaseModel):
    """Bytes of one's images, bytes that unfinished uploads hold, and the plan's limit."""

    used_bytes: int
    reserved_bytes: int
    limit_bytes: int
