"""Read what was caught: over the page of the mail catcher, or of Mailpit (external backing)."""

import time
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from dev.client import Client
from dev.parts.program import POLL_SECONDS, PartError

MailApi = Literal["catcher", "mailpit"]
WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Mailbox:
    """Everybody's e-mails of the local platform."""

    url: str
    api: MailApi = "catcher"

    def texts(self, to: str) -> list[str]:
        """The texts of the e-mails to an address, newest first."""
        client = Client(self.url)
        if self.api == "catcher":
            found: Any = client.call("GET", f"/api/messages?{urlencode({'to': to})}")
            return [mail["text"] for mail in found]
        query = urlencode({"query": f'to:"{to}"'})
        found = client.call("GET", f"/api/v1/search?{query}")["messages"]
        return [client.call("GET", f"/api/v1/message/{mail['ID']}")["Text"] for mail in found]

    def wait_for_token(self, to: str) -> str:
        """The token of the newest link to an address. Raises PartError where none comes."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            for text in self.texts(to):
                _, found, rest = text.partition("#token=")
                if found:
                    return rest.split()[0]
            time.sleep(POLL_SECONDS)
        raise PartError(f"no e-mail with a link came to {to}: see `./easel logs billing`")
