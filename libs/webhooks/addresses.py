"""Which URLs customers may have called: public https; on a developer's machine private ones too."""

import asyncio
from ipaddress import ip_network

from libs.web.outgoing import (
    OutgoingFailed,
    OutgoingPolicy,
    Resolve,
    UrlNotAllowed,
    check_outgoing_url,
    checked_addresses,
    resolve_name,
)

TRY_SECONDS = 10.0
LOOK_UP_SECONDS = 5.0
MAX_ANSWER_BYTES = 1 << 20  # one that is larger is not read further: a kibibyte is kept
PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128")


def webhook_policy(*, allow_private: bool) -> OutgoingPolicy:
    """What may be called; `allow_private` is for a platform on a developer's machine alone."""
    if not allow_private:
        return OutgoingPolicy(seconds=TRY_SECONDS, max_bytes=MAX_ANSWER_BYTES)
    return OutgoingPolicy(
        schemes=("https", "http"),
        ports=tuple(range(1, 65_536)),
        networks=tuple(map(ip_network, PRIVATE)),
        seconds=TRY_SECONDS,
        max_bytes=MAX_ANSWER_BYTES,
    )


async def require_webhook_url(
    url: str, policy: OutgoingPolicy, *, resolve: Resolve = resolve_name
) -> None:
    """Raises UrlNotAllowed (422) naming `body.url` for what leads to no public address.

    A name that nobody knows yet is allowed: each delivery looks it up anew. A network call.
    """
    try:
        parsed = check_outgoing_url(url, policy)
        async with asyncio.timeout(LOOK_UP_SECONDS):
            await checked_addresses(parsed, policy, resolve)
    except UrlNotAllowed as refusal:
        errors = [{"field": "body.url", "message": refusal.detail}]
        raise UrlNotAllowed(f"body.url: {refusal.detail}", errors=errors) from None
    except (OutgoingFailed, TimeoutError):
        return
