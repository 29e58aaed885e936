"""Run an application under uvicorn, the way every service does."""

import gc

import uvicorn
from fastapi import FastAPI

from libs.web.settings import WebSettings


def server_config(app: FastAPI, settings: WebSettings) -> uvicorn.Config:
    """How a service listens.

    The client's address is what a trusted proxy says in `X-Forwarded-For`: the last address in it
    that is no trusted proxy itself.
    """
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=10,
    )


def serve(app: FastAPI, settings: WebSettings) -> None:
    """Serve until SIGTERM, then finish what is in flight (at most 10 s)."""
    gc.freeze()  # what was imported lives as long as the process
    uvicorn.Server(server_config(app, settings)).run()
