"""What a worker does again and again: rounds that survive every outage, until it is told to end."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable

from prometheus_client import Gauge

from libs.telemetry.logs import get_logger

log = get_logger(__name__)
Round = Callable[[], Awaitable[object]]


async def repeat(
    name: str, work: Round, *, seconds: float, wake: asyncio.Event, last_round: Gauge
) -> None:
    """Do the work at every wake-up, and at least so often; survives every outage.

    `last_round`, by the label `round`, is set to the time at which the work last ended well.
    """
    while True:
        wake.clear()
        try:
            await work()
            last_round.labels(name).set_to_current_time()
        except Exception as error:  # noqa: BLE001 - whatever is away, try again
            log.warning("round_failed", round=name, error=repr(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), seconds)


async def run_until_told_to_stop(*work: Awaitable[None]) -> None:
    """Do all of it side by side until SIGTERM or SIGINT, which end it at once."""
    everything = asyncio.gather(*work)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, everything.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await everything
