"""Composition root of the user service: `python -m services.user.app`."""

from fastapi import FastAPI

from libs.auth.signing_keys import SigningKeys
from libs.auth.tenant_application import build_tenant_application
from libs.kernel.clock import Clock, utc_now
from libs.kernel.settings import load
from libs.web.server import serve
from services.user.desk import Desk
from services.user.routes import api_keys, auth, sessions, users
from services.user.settings import UserSettings
from services.user.tokens import TokenIssuer


def build_app(settings: UserSettings, *, clock: Clock = utc_now) -> FastAPI:
    """The application; it alone holds the key that signs access tokens."""
    app = build_tenant_application(
        "user",
        settings,
        description="Accounts and logins.",
        routers=[auth.router, users.router, sessions.router, api_keys.router],
    )
    issuer = TokenIssuer(SigningKeys(settings.signing_keys), settings.token_issuer)
    app.state.token_issuer = issuer
    app.state.desk = Desk(app.state.sessions, issuer, settings.public_url, clock)
    return app


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(UserSettings)
    serve(build_app(settings), settings)


if __name__ == "__main__":
    main()
