"""Composition root of the billing worker: `python -m services.payment.worker`.

It applies webhooks and does what is due by the clock. Several may run at once. An outage of a part
ends one round, not the worker; SIGTERM ends it at once, since whatever is under way is one
transaction that rolls back.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from functools import partial

import asyncpg
import httpx
from prometheus_client import Gauge

from libs.db.engine import build_engine, build_sessions
from libs.jobs.relay import listen_forever
from libs.kernel.clock import utc_now
from libs.kernel.settings import load
from libs.mail.delivery import send_due_emails
from libs.mail.queue import CHANNEL as EMAILS_CHANNEL
from libs.mail.sender import build_sender
from libs.telemetry.logs import configure_logs, get_logger
from libs.telemetry.metrics import serve_metrics
from libs.telemetry.tracing import configure_tracing
from services.payment import rounds
from services.payment.desk import Desk
from services.payment.inbox_worker import apply_pending, measure_inbox
from services.payment.lemon_squeezy.client import LemonSqueezy
from services.payment.settings import BillingSettings

log = get_logger(__name__)
CHANNEL = "billing_inbox"
EMAILS_A_ROUND = 50
last_round = Gauge(
    "easel_billing_last_round_timestamp_seconds", "When a round last ended well", ("round",)
)
Round = Callable[[], Awaitable[object]]


async def repeat(name: str, work: Round, *, seconds: float, wake: asyncio.Event) -> None:
    """Do the work at every wake-up, and at least so often; survives every outage."""
    while True:
        wake.clear()
        try:
            await work()
            last_round.labels(name).set_to_current_time()
        except Exception as error:  # noqa: BLE001 - whatever is away, try again
            log.warning("round_failed", round=name, error=repr(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), seconds)


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
    work = asyncio.gather(
        listen_forever(dsn, wakes["inbox"], asyncpg.connect, CHANNEL),
        listen_forever(dsn, wakes["e-mails"], asyncpg.connect, EMAILS_CHANNEL),
        *(
            repeat(name, work, seconds=seconds, wake=wakes.get(name, asyncio.Event()))
            for name, (work, seconds) in planned.items()
        ),
    )
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work
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
