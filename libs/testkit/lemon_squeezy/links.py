"""JSON:API resource objects and the signed links to the pages of customers."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from libs.testkit.lemon_squeezy.books import Books, sign

Resource = dict[str, Any]
LINK_LIFETIME = timedelta(hours=24)


def resource(
    books: Books,
    kind: str,
    identifier: int | str,
    attributes: dict[str, Any],
    relations: Sequence[str],
) -> Resource:
    """A resource object; its relations carry links alone, as in the API."""
    self = f"{books.base_url}/v1/{kind}/{identifier}"
    return {
        "type": kind,
        "id": str(identifier),
        "attributes": attributes,
        "relationships": {
            name: {"links": {"related": f"{self}/{name}", "self": f"{self}/relationships/{name}"}}
            for name in relations
        },
        "links": {"self": self},
    }


def money(cents: int) -> str:
    """`$9.99`; the API drops the sign."""
    whole, rest = divmod(abs(cents), 100)
    return f"${whole:,}.{rest:02}"


def signature_of(books: Books, target: str) -> str:
    """What a link must carry, given its path and the rest of its query."""
    return sign(books.seed, target.encode())


def signed(books: Books, target: str) -> str:
    """A link to a page of the double, with the path and query `target`."""
    mark = "&" if "?" in target else "?"
    return f"{books.base_url}{target}{mark}signature={signature_of(books, target)}"


def expires(books: Books) -> int:
    """The `expires` of a link that is made now: 24 hours ahead, in seconds since 1970."""
    return int((books.now + LINK_LIFETIME).timestamp())


def portal_link(books: Books, customer_id: int) -> str:
    return signed(books, f"/billing?expires={expires(books)}&test_mode=1&user={customer_id}")
