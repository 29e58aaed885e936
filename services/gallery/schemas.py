"""Requests and answers of the gallery API."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from libs.web.text_fields import Name


def to_utc(moment: datetime) -> datetime:
    """The same moment in UTC. Raises ValueError where the calendar does not reach."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(to_utc)]


class ImageAnswer(BaseModel):
    """An image with URLs that read it until `urls_expire_at`."""

    id: UUID
    generation_id: UUID
    url: str
    thumbnail_url: str
    urls_expire_at: datetime
    format: str
    width: int
    height: int
    size_bytes: int
    seed: int
    model: str
    prompt: str
    negative_prompt: str
    parameters: dict[str, Any]
    starred: bool
    created_at: datetime


class ImageChange(BaseModel):
    """What an owner may change of an image."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"starred": True}]})

    starred: bool


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
