"""Every service of the platform: what builds it, and the class of what it is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from libs.auth.tenant_application import TenantServiceSettings
from services.gallery.app import build_app as build_gallery
from services.gallery.settings import GallerySettings
from services.generation.app import build_app as build_generation
from services.generation.settings import GenerationSettings
from services.model.app import build_app as build_model
from services.model.settings import ModelSettings
from services.payment.app import build_app as build_payment
from services.payment.settings import PaymentSettings
from services.user.app import build_app as build_user
from services.user.settings import UserSettings


@dataclass(frozen=True)
class Service:
    """A composition root."""

    build: Callable[[Any], FastAPI]
    settings: type[TenantServiceSettings]

    def make(self, known: Mapping[str, Any]) -> FastAPI:
        """The application, told of all that is known what its settings have a place for.

        Raises ValidationError for a setting that must be given and is not known.
        """
        fields = self.settings.model_fields
        told = {name: value for name, value in known.items() if name in fields}
        return self.build(self.settings(**told))


SERVICES = {
    "user": Service(build_user, UserSettings),
    "payment": Service(build_payment, PaymentSettings),
    "generation": Service(build_generation, GenerationSettings),
    "gallery": Service(build_gallery, GallerySettings),
    "model": Service(build_model, ModelSettings),
}
