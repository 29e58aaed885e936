"""Run an application under uvicorn, the way every service does."""

import gc
import socket

import uvicorn
from fastapi import FastAPI

from libs.web.settings import WebSettings

UNREAD_MILLISECONDS = 60_000


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


def listen(config: uvicorn.Config) -> socket.socket:
    """The socket of a service. What a client does not take for a minute ends its connection.

    Else a stopped reader would hold what was sent to it in memory for as long as it likes.
    """
    listener = config.bind_socket()
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux (tcp(7)); connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLISECONDS)
    return listener


def serve(app: FastAPI, settings: WebSettings) -> None:
    """Serve until SIGTERM, then finish what is in flight (at most 10 s)."""
    gc.freeze()  # what was imported lives as long as the process
    config = server_config(app, settings)
    uvicorn.Server(config).run(sockets=[listen(config)])
