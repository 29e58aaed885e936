"""Composition root of the gallery service: `python -m services.gallery.app`."""

from fastapi import FastAPI

from libs.auth.tenant_application import build_tenant_application
from libs.kernel.settings import load
from libs.storage.objects import ObjectStore, StorageSettings
from libs.web.server import serve
from services.gallery.decoding import Decoder
from services.gallery.routes import boards, images, personal_data, uploads
from services.gallery.service.uploads import clear_forever
from services.gallery.settings import GallerySettings


def build_app(settings: GallerySettings) -> FastAPI:
    """The application. The object store is no part of readiness: URLs are signed without it."""
    store = ObjectStore(
        StorageSettings(
            region=settings.s3_region,
            bucket=settings.s3_bucket_images,
            endpoint_url=settings.s3_endpoint_url,
            public_endpoint_url=settings.s3_public_endpoint_url,
            access_key_id=settings.s3_access_key_id,
            secret_access_key=settings.s3_secret_access_key,
        )
    )
    app = build_tenant_application(
        "gallery",
        settings,
        description="Images: find, star, recall, upload, and sort them onto boards.",
        routers=[uploads.router, images.router, boards.router, personal_data.router],
        background=[lambda app: clear_forever(app.state.sessions, store)],
    )
    app.state.store, app.state.decoder = store, Decoder()
    return app


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(GallerySettings)
    serve(build_app(settings), settings)


if __name__ == "__main__":
    main()
