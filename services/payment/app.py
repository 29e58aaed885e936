"""Composition root of the payment service: `python -m services.payment.app`."""

from functools import partial

from fastapi import FastAPI

from libs.auth.tenant_application import build_tenant_application
from libs.db.engine import build_engine, build_sessions
from libs.db.transaction import check_database
from libs.kernel.clock import Clock, utc_now
from libs.kernel.settings import load
from libs.web.server import serve
from services.payment.lemon_squeezy.client import LemonSqueezy
from services.payment.routes import (
    admin,
    credits,
    personal_data,
    plans,
    purchases,
    subscriptions,
    webhooks,
)
from services.payment.settings import PaymentSettings
from services.user.client.accounts import Accounts


def build_app(settings: PaymentSettings, *, clock: Clock = utc_now) -> FastAPI:
    """The application. Customers' requests run as one database role, those of admins and what the
    provider tells as another, which sees all customers."""
    engine = build_engine(settings.billing_database_url, application="easel-payment-billing")
    billing_sessions = build_sessions(engine)
    app = build_tenant_application(
        "payment",
        settings,
        description="Plans, payments, and what is done with credits.",
        routers=[
            plans.router,
            purchases.router,
            subscriptions.router,
            credits.router,
            webhooks.router,
            admin.router,
            personal_data.router,
        ],
        checks={"billing database": partial(check_database, billing_sessions)},
        on_stop=[engine.dispose],
    )
    app.add_middleware(webhooks.CountRefusedWebhooks)
    app.state.clock = clock
    app.state.billing_sessions = billing_sessions
    app.state.shelf = settings.shelf
    app.state.accounts = Accounts(settings.user_service_url, app.state.http)
    app.state.lemon_squeezy = LemonSqueezy(app.state.http, settings)
    return app


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(PaymentSettings)
    serve(build_app(settings), settings)


if __name__ == "__main__":
    main()
