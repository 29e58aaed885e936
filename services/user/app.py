"""Composition root of the user service: `python -m services.user.app`."""

from fastapi import FastAPI

from libs.auth.signing_keys import SigningKeys
from libs.auth.tenant_application import build_tenant_application
from libs.kernel.clock import Clock, utc_now
from libs.kernel.settings import load
from libs.storage.objects import ObjectStore
from libs.web.server import serve
from services.user.desk import Desk
from services.user.providers.settings import build_providers
from services.user.routes import (
    admin,
    api_keys,
    auth,
    identities,
    oauth,
    personal_data,
    sessions,
    users,
)
from services.user.settings import UserSettings
from services.user.tokens import TokenIssuer


def build_app(settings: UserSettings, *, clock: Clock = utc_now) -> FastAPI:
    """The application; it alone holds the key that signs access tokens."""
    app = build_tenant_application(
        "user",
        settings,
        description="Accounts and logins.",
        routers=[
            auth.router,
            oauth.router,
            users.router,
            personal_data.router,
            identities.router,
            sessions.router,
            admin.router,
            api_keys.router,
        ],
    )
    issuer = TokenIssuer(SigningKeys(settings.signing_keys), settings.token_issuer)
    app.state.token_issuer = issuer
    app.state.archives = ObjectStore(settings.storage)
    app.state.desk = Desk(app.state.sessions, issuer, settings.public_url, clock)
    app.state.providers = build_providers(settings, app.state.http)
    return app


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(UserSettings)
    serve(build_app(settings), settings)


if __name__ == "__main__":
    main()
