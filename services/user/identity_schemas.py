"""Answers about sign-in providers and linked logins."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from services.user.providers.offered import ProviderName

# A path of this site and nothing else: no host, no scheme, nothing that browsers read as either.
LOCAL_PATH = r"^/([!-.0-\[\]-~][!-\[\]-~]*)?$"
ReturnTo = Annotated[str, Query(max_length=500, pattern=LOCAL_PATH, examples=["/account"])]


class OfferedProvider(BaseModel):
    """A provider that this deployment offers; `label` is what people read."""

    provider: ProviderName
    label: str


class OfferedProviders(BaseModel):
    """Every provider that this deployment offers."""

    items: list[OfferedProvider]


class IdentityAnswer(BaseModel):
    """A linked login; `email` is what the provider said when it was linked."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    provider: ProviderName
    email: str
    created_at: datetime
    last_used_at: datetime


class IdentitiesAnswer(BaseModel):
    """All of one's linked logins."""

    items: list[IdentityAnswer]
