"""Composition root of the account worker: `python -m services.user.worker`.

It erases accounts and makes archives of them. Several may run at once. An outage of a part ends one
step, not the worker; SIGTERM ends it at once, since a step that was begun is begun again.
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
from libs.telemetry.logs import configure_logs
from libs.telemetry.metrics import serve_metrics
from libs.telemetry.tracing import configure_tracing
from services.user.account_desk import AccountDesk, build_desk
from services.user.account_settings import AccountSettings
from services.user.erasing import erase_due, measure_erasures
from services.user.exporting import delete_expired, export_due

CHANNEL = "account_work"
last_round = Gauge(
    "easel_account_last_round_timestamp_seconds", "When a round last ended well", ("round",)
)


async def erase_all_due(desk: AccountDesk) -> None:
    """Every step that is due."""
    while await erase_due(desk):
        pass
    await measure_erasures(desk)


async def export_all_due(desk: AccountDesk) -> None:
    """Every archive that is due."""
    while await export_due(desk):
        pass


async def listen(dsn: str, wakes: dict[str, asyncio.Event]) -> None:
    """Wake every round when something was asked for."""
    asked = asyncio.Event()

    async def pass_on() -> None:
        while True:
            await asked.wait()
            asked.clear()
            for wake in wakes.values():
                wake.set()

    await asyncio.gather(listen_forever(dsn, asked, asyncpg.connect, CHANNEL), pass_on())


async def run(settings: AccountSettings) -> None:
    """Work until SIGTERM or SIGINT."""
    engine = build_engine(settings.database_url, application="easel-account")
    http = httpx.AsyncClient()
    desk = build_desk(settings, build_sessions(engine), http, utc_now)
    planned: dict[str, tuple[Round, float]] = {
        "erasures": (partial(erase_all_due, desk), 1),
        "exports": (partial(export_all_due, desk), 1),
        "expired archives": (partial(delete_expired, desk), 60),
    }
    wakes = {name: asyncio.Event() for name in planned}
    await run_until_told_to_stop(
        listen(settings.database_url.replace("+asyncpg", ""), wakes),
        *(
            repeat(name, round_, seconds=seconds, wake=wakes[name], last_round=last_round)
            for name, (round_, seconds) in planned.items()
        ),
    )
    await http.aclose()
    await engine.dispose()


def main() -> None:
    """Run until told to stop."""
    settings = load(AccountSettings)
    configure_logs("account", settings.log_level)
    configure_tracing("account")
    serve_metrics(settings.metrics_port, settings.host)
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
