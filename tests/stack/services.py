"""Every service of the platform: what builds it, and the class of what it is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from libs.web.settings import WebSettings
from services.gallery.app import build_app as build_gallery
from services.gallery.settings import GallerySettings
from services.generation.app import build_app as build_generation
from services.generation.settings import GenerationSettings
from services.model.app import build_app as build_model
from services.model.settings import ModelSettings
from services.payment.app import build_app as build_payment
from services.payment.settings import PaymentSettings
from services.studio.app import build_app as build_studio
from services.studio.settings import StudioSettings
from services.user.app import build_app as build_user
from services.user.settings import UserSettings
from tests.services.payment.shop import NOWHERE, VARIANTS


@dataclass(frozen=True)
class Service:
    """A composition root."""

    build: Callable[[Any], FastAPI]
    settings: type[WebSettings]

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
    "studio": Service(build_studio, StudioSettings),
}


def build_apps(known: Mapping[str, Any]) -> dict[str, FastAPI]:
    """The application of every service. `database_url` is a function of its login role."""
    urls = known["database_url"]
    return {
        name: service.make({**known, "port": 0, "database_url": urls(name)})
        for name, service in SERVICES.items()
    }


def settings_of_nowhere(signing_keys: Path) -> dict[str, Any]:
    """What the applications need to be built, and to show their documents; none of it answers."""
    return {
        "database_url": lambda _: NOWHERE,
        "billing_database_url": NOWHERE,
        "signing_keys": signing_keys,
        "jwks_url": "http://127.0.0.1:1/jwks.json",
        "redis_url": "redis://127.0.0.1:1/0",
        "public_url": "https://easel.example",
        **{f"{name}_service_url": "http://127.0.0.1:1" for name in SERVICES},
        "s3_bucket_images": "easel-images",
        "s3_region": "ap-northeast-2",
        "lemon_squeezy_api_url": "http://127.0.0.1:1/v1",
        "lemon_squeezy_api_key": "local-api-key",
        "lemon_squeezy_store_id": "1",
        "lemon_squeezy_webhook_secret": "local-webhook-secret",
        "lemon_squeezy_variants": VARIANTS,
    }
