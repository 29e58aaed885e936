"""Composition root of the user service: `python -m services.user.app`."""

from fastapi import FastAPI

from libs.auth.signing_keys import SigningKeys
from libs.auth.tenant_application import build_tenant_application
from libs.kernel.settings import load
from libs.web.server import serve
from services.user.routes import auth, users
from services.user.settings import UserSettings
from services.user.tokens import TokenIssuer


def build_app(settings: UserSettings) -> FastAPI:
    """The application; it alone holds the key that signs access tokens."""
    app = build_tenant_application(
        "user",
        settings,
        description="Accounts and logins.",
        routers=[auth.router, users.router],
    )
    app.state.token_issuer = TokenIssuer(SigningKeys(settings.signing_keys), settings.token_issuer)
    return app


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(UserSettings)
    serve(build_app(settings), settings)


if __name__ == "__main__":
    main()
