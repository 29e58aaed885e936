"""Composition root of the model service: `python -m services.model.app`."""

from fastapi import FastAPI

from libs.auth.tenant_application import build_tenant_application
from libs.kernel.settings import load
from libs.web.server import serve
from services.model.routes import models, personal_data
from services.model.settings import ModelSettings


def build_app(settings: ModelSettings) -> FastAPI:
    """The application."""
    return build_tenant_application(
        "model",
        settings,
        description="The models that can be asked for, and what they cost.",
        routers=[models.router, models.internal, personal_data.router],
    )


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(ModelSettings)
    serve(build_app(settings), settings)


if __name__ == "__main__":
    main()
