"""What a tier may and may not do: pure checks that raise the problem a caller should see."""

from libs.kernel.problems import Forbidden, RateLimited
from libs.tiers.catalogue import Base, Tier, load_catalogue

SECONDS_PER_HOUR = 3600


class TierRequired(Forbidden):
    slug, title = "tier-required", "Your plan does not include this"


class WaitingLimitReached(RateLimited):
    slug, title = "waiting-limit-reached", "Too many of your jobs are waiting"


class HourlyLimitReached(RateLimited):
    slug, title = "hourly-limit-reached", "Your plan's requests of this hour are used up"


def require_base(tier: Tier, base: Base) -> None:
    """Raises TierRequired with `required_tier` if the plan does not include the model's base."""
    if base not in tier.bases:
        needed = load_catalogue().first_with_base(base).name
        raise TierRequired(
            f"Models of base {base} come with the {needed} plan", required_tier=needed
        )


def require_waiting_room(tier: Tier, waiting: int, *, expected_wait_seconds: int) -> None:
    """Raises WaitingLimitReached if one more job would pass the plan's waiting limit."""
    if waiting >= tier.waiting_jobs:
        raise WaitingLimitReached(
            f"{waiting} of {tier.waiting_jobs} jobs are waiting",
            retry_after_seconds=max(1, expected_wait_seconds),
            limit="waiting_jobs",
            used=waiting,
            allowed=tier.waiting_jobs,
        )


def require_hourly_room(tier: Tier, created: int, *, oldest_age_seconds: int) -> None:
    """Raises HourlyLimitReached if the last hour's creations use up the plan's limit.

    `oldest_age_seconds` is the age of the oldest of them: when it turns an hour, one is free.
    """
    if tier.creates_per_hour is not None and created >= tier.creates_per_hour:
        raise HourlyLimitReached(
            f"{created} of {tier.creates_per_hour} requests of this hour are used",
            retry_after_seconds=max(1, SECONDS_PER_HOUR - oldest_age_seconds),
            limit="creates_per_hour",
            used=created,
            allowed=tier.creates_per_hour,
        )


def require_api_keys(tier: Tier) -> None:
    """Raises TierRequired with `required_tier` if the plan has no personal API keys."""
    if not tier.api_keys:
        needed = load_catalogue().first_with_api_keys().name
        raise TierRequired(f"API keys come with the {needed} plan", required_tier=needed)
