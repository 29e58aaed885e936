"""Composition root of the relay and the sweeper: `python -m services.generation.relay`."""

import asyncio

import asyncpg

from libs.db.engine import build_engine, build_sessions
from libs.events.connection import build_redis
from libs.jobs.celery_app import build_celery
from libs.jobs.relay import Relay, listen_forever, relay_forever
from libs.jobs.rounds import repeat, run_until_told_to_stop
from libs.kernel.clock import utc_now
from libs.kernel.settings import load
from libs.telemetry.logs import configure_logs
from libs.telemetry.metrics import serve_metrics
from libs.telemetry.tracing import configure_tracing
from services.generation.service.outlook_round import OUTLOOK_SECONDS, Outlooker
from services.generation.settings import RelaySettings
from services.generation.sweeper import Sweeper, last_round, sweep_forever
from services.generation.webhook_rounds import send_webhooks_forever


async def run(settings: RelaySettings) -> None:
    """Relay, listen, sweep, look ahead and send webhooks until SIGTERM or SIGINT."""
    engine = build_engine(settings.database_url, application="easel-relay")
    sender = build_engine(settings.database_url, application="easel-webhooks")
    sessions, redis = build_sessions(engine), build_redis(settings.redis_url)
    celery = build_celery(settings.redis_url)
    wake = asyncio.Event()
    dsn = settings.database_url.replace("+asyncpg", "")
    await run_until_told_to_stop(
        relay_forever(Relay(sessions, redis, celery), wake),
        listen_forever(dsn, wake, asyncpg.connect),
        sweep_forever(Sweeper(sessions, redis, celery)),
        repeat(
            "outlook",
            Outlooker(sessions, utc_now).look_in_turn,
            seconds=OUTLOOK_SECONDS,
            wake=asyncio.Event(),
            last_round=last_round,
        ),
        send_webhooks_forever(settings, sender),
    )
    await redis.aclose()
    await sender.dispose()
    await engine.dispose()


def main() -> None:
    """Run until told to stop."""
    settings = load(RelaySettings)
    configure_logs("relay", settings.log_level)
    configure_tracing("relay")
    serve_metrics(settings.metrics_port, settings.host)
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
