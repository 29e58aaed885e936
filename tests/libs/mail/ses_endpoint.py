"""A small HTTP endpoint that answers `SendEmail` of the SES API v2 as its reference says.

POST /v2/email/outbound-emails: 200 with a MessageId, or an error named by `x-amzn-ErrorType`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

ERROR_STATUS = {
    "BadRequestException": 400,
    "MessageRejected": 400,
    "SendingPausedException": 400,
    "TooManyRequestsException": 429,
    "InternalFailure": 500,
}


@dataclass
class SesEndpoint:
    """What was asked; `error` is the name of the refusal, empty to accept."""

    url: str = ""
    error: str = ""
    requests: list[tuple[str, Any]] = field(default_factory=list)


@contextmanager
def ses_endpoint() -> Iterator[SesEndpoint]:
    """The endpoint runs inside the block."""
    endpoint = SesEndpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == "/v2/email/outbound-emails"
            endpoint.requests.append((self.headers["Authorization"], body))
            self.send_response(ERROR_STATUS.get(endpoint.error, 200))
            self.send_header("Content-Type", "application/json")
            if endpoint.error:
                self.send_header("x-amzn-ErrorType", endpoint.error)
            self.end_headers()
            answer = {"message": "refused"} if endpoint.error else {"MessageId": "0100"}
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *values: Any) -> None:
            """Quiet: what was asked is in `requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
