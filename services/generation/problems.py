"""What can go wrong with a generation, as its caller sees it."""

from libs.credits.pricing import format_credits
from libs.kernel.problems import Conflict, NotFound, Problem, RateLimited
from libs.tiers.admission import Refusal


class GenerationNotFound(NotFound):
    slug, title = "generation-not-found", "There is no generation of yours with that id"


class AlreadyFinished(Conflict):
    slug, title = "already-finished", "The generation has finished and cannot be cancelled"


class QueueFull(RateLimited):
    slug, title = "queue-full", "The queue is too long for your job to start in time"

    def __init__(self, tier: str, refusal: Refusal) -> None:
        target, wait = refusal.target_seconds, round(refusal.expected_wait_seconds, 1)
        super().__init__(
            f"The job would start after {wait:g} seconds; the {tier} plan promises {target:g}",
            retry_after_seconds=refusal.retry_after_seconds,
            limit="wait_seconds",
            used=wait,
            allowed=target,
            tier=tier,
            expected_wait_seconds=wait,
        )


class JobNotFailed(Conflict):
    slug, title = "job-not-failed", "Only a job that has failed can be queued again"


class PromptRefused(Problem):
    slug, status, title = "prompt-refused", 422, "The prompt asks for what is not drawn here"

    def __init__(self, category: str) -> None:
        message = f"the prompt falls under {category!r}, which is not drawn here"
        super().__init__(
            f"body.prompt: {message}",
            errors=[{"field": "body.prompt", "message": message}],
            category=category,
        )


class PriceAboveMaximum(Problem):
    slug, status, title = "price-above-maximum", 422, "The price is above your maximum"

    def __init__(self, price: int, maximum: int) -> None:
        message = (
            f"the price is {format_credits(price)} credits, the maximum {format_credits(maximum)}"
        )
        super().__init__(
            f"body.max_credits: {message}",
            errors=[{"field": "body.max_credits", "message": message}],
            price_millicredits=price,
            maximum_millicredits=maximum,
        )
