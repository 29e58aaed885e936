"""Composition root of the payment service: `python -m services.payment.app`."""

from fastapi import FastAPI

from libs.auth.tenant_application import build_tenant_application
from libs.kernel.settings import load
from libs.web.server import serve
from services.payment.routes import credits, plans
from services.payment.settings import PaymentSettings


def build_app(settings: PaymentSettings) -> FastAPI:
    """The application."""
    return build_tenant_application(
        "payment",
        settings,
        description="Plans, and what is done with credits.",
        routers=[plans.router, credits.router],
    )


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(PaymentSettings)
    serve(build_app(settings), host=settings.host, port=settings.port)


if __name__ == "__main__":
    main()
