"""Run an application under uvicorn, the way every service does."""

import gc

import uvicorn
from fastapi import FastAPI


def serve(app: FastAPI, *, host: str, port: int) -> None:
    """Serve until SIGTERM, then finish what is in flight (at most 10 s)."""
    gc.freeze()  # what was imported lives as long as the process
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
