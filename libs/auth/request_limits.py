"""How many requests a caller may make: by plan for users and their keys, by address for others.

Redis away: these requests are let through (`libs.web.rate_limits`); logins have limits of their
own, which are not.
"""

from fastapi import Request

from libs.auth.principals import Principal
from libs.tiers.catalogue import TierName, load_catalogue
from libs.web.client_addresses import client_address
from libs.web.rate_limits import Limit, RateLimiter

MINUTE = 60
CATALOGUE = load_catalogue()
BY_USER: dict[TierName, Limit] = {
    tier.name: Limit("user", tier.requests_per_minute, MINUTE) for tier in CATALOGUE.tiers
}
# One key may use up half of its owner's requests, so that it cannot shut the others out.
BY_KEY: dict[TierName, Limit] = {
    tier.name: Limit("key", tier.requests_per_minute // 2, MINUTE) for tier in CATALOGUE.tiers
}
BY_ADDRESS = Limit("address", CATALOGUE.anonymous.requests_per_minute, MINUTE)


async def count_request(request: Request, principal: Principal) -> None:
    """Count a request of a verified caller. Raises RateLimited (429)."""
    limiter: RateLimiter = request.app.state.rate_limiter
    wanted = [(BY_USER[principal.tier], str(principal.user_id))]
    if principal.key_id is not None:
        wanted.append((BY_KEY[principal.tier], str(principal.key_id)))
    await limiter.take(wanted, when_away="allow")


async def count_unknown(request: Request) -> None:
    """Count a request of nobody in particular, or one whose credentials are refused.

    Raises RateLimited (429).
    """
    limiter: RateLimiter = request.app.state.rate_limiter
    await limiter.take([(BY_ADDRESS, client_address(request))], when_away="allow")
