"""Composition root of the billing worker: `python -m services.payment.worker`.

It applies webhooks and does what is due by the clock. Several may run at once. An outage of a part
ends one round, not the worker; SIGTERM ends it at once, since whatever is under way is one
transaction that rolls back.
"""

import asyncio
from functools import partial

import asyncpg
import httpx
from prometheus_client import Gauge

from libs.db.engine import build_engine, build_sessions
from libs.jobs.relay import listen_forever
from libs.jobs.rounds import Round, repeat, run_until_told_to_stop
from libs.kernel.clock import utc_now
from libs.kernel.settings import load
from libs.mail.delivery import send_due_emails
from libs.mail.queue import CHANNEL as EMAILS_CHANNEL
from libs.mail.sender import build_sender
from libs.telemetry.logs import configure_logs
from libs.telemetry.metrics import serve_metrics
from libs.telemetry.tracing import configure_tracing
from services.payment import rounds
from services.payment.desk import Desk
from services.payment.inbox_worker import apply_pending, measure_inbox
from services.payment.lemon_squeezy.client import LemonSqueezy
from services.payment.settings import BillingSettings

CHANNEL = "billing_inbox"
EMAILS_A_ROUND = 50
last_round = Gauge(
    "easel_billing_last_round_timestamp_seconds", "When a round last ended well", ("round",)
)


async def work_inbox(desk: Desk) -> None:
    """Apply all that is due."""
    while await apply_pending(desk):
        pass
    await measure_inbox(desk)


def build_rounds(
    desk: Desk, provider: LemonSqueezy, send_emails: Round
) -> dict[str, tuple[Round, float]]:
    """What is done, and how many seconds lie between."""
    return {
        "inbox": (partial(work_inbox, desk), 1),
        "subscriptions": (partial(rounds.settle_due_users, desk), 5),
        "expired credits": (partial(rounds.end_expired_credits, desk), 10),
        "expired holds": (partial(rounds.release_lost_holds, desk), 10),
        "free months": (partial(rounds.grant_free_months, desk), 30),
        "duplicate subscriptions": (partial(rounds.tell_who_is_charged_twice, desk), 300),
        "e-mails": (send_emails, 2),
        "reconciliation": (partial(rounds.reconcile_daily, desk, provider), 60),
        "ledger check": (partial(rounds.check_ledger, desk), 300),
    }


async def run(settings: BillingSettings) -> None:
    """Work until SIGTERM or SIGINT."""
    engine = build_engine(settings.database_url, application="easel-billing")
    desk = Desk(build_sessions(engine), settings.shelf, utc_now)
    http = httpx.AsyncClient()
    send_emails = partial(
        send_due_emails, desk.sessions, build_sender(settings), utc_now, EMAILS_A_ROUND
    )
    wakes = {"inbox": asyncio.Event(), "e-mails": asyncio.Event()}
    dsn = settings.database_url.replace("+asyncpg", "")
    planned = build_rounds(desk, LemonSqueezy(http, settings), send_emails)
    await run_until_told_to_stop(
        listen_forever(dsn, wakes["inbox"], asyncpg.connect, CHANNEL),
        listen_forever(dsn, wakes["e-mails"], asyncpg.connect, EMAILS_CHANNEL),
        *(
            repeat(
                name,
                work,
                seconds=seconds,
                wake=wakes.get(name, asyncio.Event()),
                last_round=last_round,
            )
            for name, (work, seconds) in planned.items()
        ),
    )
    await http.aclose()
    await engine.dispose()


def main() -> None:
    """Run until told to stop."""
    settings = load(BillingSettings)
    configure_logs("billing", settings.log_level)
    configure_tracing("billing")
    serve_metrics(settings.metrics_port, settings.host)
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
