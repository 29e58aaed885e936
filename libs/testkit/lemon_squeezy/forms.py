"""HTML forms of the double: reading them, and refusing those of another site."""

from urllib.parse import parse_qs, urlsplit

from fastapi import Request

from libs.testkit.lemon_squeezy.books import Books
from libs.testkit.lemon_squeezy.links import signature_of
from libs.testkit.lemon_squeezy.records import Refused

MAX_FORM_BYTES = 65_536


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form. Raises Refused for one that another site's page sent."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.url.netloc:
        raise Refused("This form comes from another site.", 403)
    body = await request.body()
    if len(body) > MAX_FORM_BYTES:
        raise Refused("The form is too large.", 413)
    fields = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


def check_link(request: Request, books: Books) -> None:
    """Raises Refused 403 unless the address carries its signature and has not expired."""
    before, _, signature = f"{request.url.path}?{request.url.query}".rpartition("signature=")
    if signature_of(books, before.rstrip("?&")) != signature:
        raise Refused("Invalid signature. This link is not complete.", 403)
    expires = request.query_params.get("expires")
    if expires is not None and int(expires) <= books.now.timestamp():
        raise Refused("This link has expired.", 403)
