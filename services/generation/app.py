"""Composition root of the generation API: `python -m services.generation.app`."""

from fastapi import FastAPI

from libs.auth.tenant_application import build_tenant_application
from libs.db.single_statements import SingleStatements
from libs.events.connection import build_redis
from libs.kernel.settings import load
from libs.moderation.settings import build_moderation
from libs.web.event_streams import OpenStreams
from libs.web.server import serve
from libs.webhooks.addresses import webhook_policy
from services.generation.routes import (
    admin_queue,
    events,
    generations,
    personal_data,
    queue,
    webhooks,
)
from services.generation.service.waits import Waits
from services.generation.settings import GenerationSettings
from services.model.client.catalogue import ModelCatalogue


def build_app(settings: GenerationSettings) -> FastAPI:
    """The application. Redis is no part of readiness: jobs are accepted without it."""
    redis = build_redis(settings.redis_url)
    statements = SingleStatements(settings.database_url, application="easel-generation")
    app = build_tenant_application(
        "generation",
        settings,
        description="Turns prompts into pictures: quote, create, watch, cancel.",
        # `/events` stands before `/{generation_id}`, which it would be taken for
        routers=[
            events.router,
            generations.router,
            queue.router,
            webhooks.router,
            admin_queue.router,
            personal_data.router,
        ],
        on_stop=[redis.aclose, statements.close],
    )
    app.state.redis = redis
    app.state.open_streams = OpenStreams()
    app.state.webhook_policy = webhook_policy(allow_private=settings.webhooks_allow_private)
    app.state.statements = statements
    app.state.waits = Waits(app.state.sessions, overload=settings.overload)
    app.state.moderation = build_moderation(settings)
    app.state.models = ModelCatalogue(settings.model_service_url, app.state.http)
    return app


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(GenerationSettings)
    serve(build_app(settings), settings)


if __name__ == "__main__":
    main()
