from collections.abc import Iterator

import httpx
import pytest

from libs.auth.signing_keys import SigningKeys
from libs.kernel.clock import utc_now
from libs.privacy.owners import Owner, ServiceTokens
from services.user.account_desk import AccountDesk
from tests.erasure.account_worker import AccountWorker, LaterClock
from tests.stack.fixture import stack
from tests.stack.running import Stack

__all__ = ["stack"]


@pytest.fixture
def worker(stack: Stack) -> Iterator[AccountWorker]:
    """The account worker beside the running services, in the same process."""
    keys = SigningKeys(stack.signing_keys)
    tokens = ServiceTokens("user", "easel", lambda: keys.current(utc_now()), utc_now)
    http = httpx.AsyncClient()
    owners = {
        name: Owner(name, stack.urls[name], http, tokens)
        for name in ("generation", "gallery", "model", "payment")
    }
    desk = AccountDesk(
        sessions=stack.sessions("account"),
        generation=owners["generation"],
        gallery=owners["gallery"],
        models=owners["model"],
        payment=owners["payment"],
        store=stack.store,
        clock=LaterClock(),
    )
    yield AccountWorker(stack, desk)
    stack.run(http.aclose())
