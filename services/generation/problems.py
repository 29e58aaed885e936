"""What can go wrong with a generation, as its caller sees it."""

from libs.credits.pricing import format_credits
from libs.kernel.problems import Conflict, NotFound, Problem


class GenerationNotFound(NotFound):
    slug, title = "generation-not-found", "There is no generation of yours with that id"


class AlreadyFinished(Conflict):
    slug, title = "already-finished", "The generation has finished and cannot be cancelled"


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
