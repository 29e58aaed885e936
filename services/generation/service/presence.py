"""Who serves: each worker says every few seconds that it is there, and how much it can take."""

import asyncio
import contextlib

from sqlalchemy.exc import SQLAlchemyError

from libs.telemetry.logs import get_logger
from libs.triton.errors import TritonError
from services.generation.repository import workers
from services.generation.service.execution import Worker

log = get_logger(__name__)
SAY_SECONDS = 5.0


async def look_at_models(worker: Worker) -> None:
    """Which models the engine holds, for the choice of jobs."""
    try:
        held = (await worker.studio.triton.stats()).loaded
    except TritonError as error:
        log.warning("models_not_told", error=repr(error))
        held = frozenset()
    worker.loaded.clear()
    worker.loaded.update(held)


async def be_present(worker: Worker) -> None:
    """Say so until the worker stops, and then that it is gone."""
    while not worker.stopping.is_set():
        try:
            ready = not worker.watchdog.is_mending and await worker.studio.triton.is_ready()
            if ready:
                await look_at_models(worker)
            async with worker.sessions.begin() as session:
                if ready:
                    await workers.say_present(
                        session,
                        worker.name,
                        pools=worker.pools,
                        slots=worker.slots,
                        models=sorted(worker.loaded),
                    )
                else:  # it claims nothing: whoever waits must not be told of its slots
                    await workers.say_gone(session, worker.name)
        except (SQLAlchemyError, OSError) as error:
            log.warning("presence_not_told", error=repr(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(worker.stopping.wait(), SAY_SECONDS)
    with contextlib.suppress(SQLAlchemyError, OSError):
        async with worker.sessions.begin() as session:
            await workers.say_gone(session, worker.name)
