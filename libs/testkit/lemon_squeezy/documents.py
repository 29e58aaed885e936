"""JSON:API documents: one resource, a page of them, errors; and what requests must look like."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import Response

from libs.testkit.lemon_squeezy.links import Resource
from libs.testkit.lemon_squeezy.records import Refused

MEDIA_TYPE = "application/vnd.api+json"
VERSION = {"version": "1.0"}
DEFAULT_PAGE_SIZE = 10
MAX_PAGE_SIZE = 100


def answer(document: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(document), status, media_type=MEDIA_TYPE)


def one(data: Resource, status: int = 200) -> Response:
    """A document with one resource."""
    return answer({"jsonapi": VERSION, "links": data["links"], "data": data}, status)


def error(status: int, detail: str, pointer: str | None = None) -> Response:
    """A document with one error."""
    found: dict[str, Any] = {"detail": detail}
    if pointer is not None:
        found["source"] = {"pointer": pointer}
    title = HTTPStatus(status).phrase
    if status == 422:
        title = "Unprocessable Entity"
    found |= {"status": str(status), "title": title}
    return answer({"jsonapi": VERSION, "errors": [found]}, status)


def page(request: Request, found: Sequence[Resource], sort: str) -> Response:
    """One page of what was found. Raises Refused 400 for a page that makes no sense."""
    number = _page_number(request, "number", 1, 1_000_000)
    size = _page_number(request, "size", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    last = max(1, -(-len(found) // size))
    first = (number - 1) * size
    rows = list(found[first : first + size])
    meta = {
        "currentPage": number,
        "from": first + 1 if rows else None,
        "lastPage": last,
        "perPage": size,
        "to": first + len(rows) if rows else None,
        "total": len(found),
    }
    numbers = {"first": 1, "last": last}
    numbers |= {"next": number + 1} if number < last else {}
    numbers |= {"prev": number - 1} if number > 1 else {}
    links = {name: _page_link(request, to, size, sort) for name, to in numbers.items()}
    return answer({"meta": {"page": meta}, "jsonapi": VERSION, "links": links, "data": rows})


def _page_number(request: Request, name: str, default: int, maximum: int) -> int:
    text = request.query_params.get(f"page[{name}]", str(default))
    if not text.isdecimal() or not 1 <= int(text) <= maximum:
        raise Refused(f"page[{name}] must be between 1 and {maximum}.", 400)
    return int(text)


def _page_link(request: Request, number: int, size: int, sort: str) -> str:
    filters = {k: v for k, v in request.query_params.items() if k.startswith("filter[")}
    query = {**filters, "page[number]": number, "page[size]": size, "sort": sort}
    return f"{request.url.scheme}://{request.url.netloc}{request.url.path}?{urlencode(query)}"


def filtered(request: Request, found: Sequence[Resource], allowed: Sequence[str]) -> list[Resource]:
    """What the `filter[...]` members of the query leave. Raises Refused 400 for an unknown one."""
    if "include" in request.query_params:
        raise Refused("The double does not know include paths.", 400)
    wanted = {
        key[7:-1]: value for key, value in request.query_params.items() if key.startswith("filter[")
    }
    unknown = set(wanted) - set(allowed)
    if unknown:
        raise Refused(f"Filter parameter {min(unknown)} is not allowed.", 400)
    return [
        row
        for row in found
        if all(_text(row["attributes"], key) == value for key, value in wanted.items())
    ]


def _text(attributes: Mapping[str, Any], key: str) -> str:
    value = attributes.get(key)
    return str(value).lower() if isinstance(value, bool) else str(value)


async def read_attributes(
    request: Request, kind: str, identifier: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes and relationships of the request's resource. Raises Refused 400 or 422."""
    try:
        data = json.loads(await request.body())["data"]
        named, attributes = data["type"], data.get("attributes", {})
        relations = data.get("relationships", {})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused("The request body is no JSON:API document.", 400, "/") from None
    if named != kind:
        raise Refused(f"Resource type {named} is not supported by this endpoint.", 409, "/data")
    if identifier is not None and str(data.get("id")) != identifier:
        raise Refused("The resource id does not match the URL.", 409, "/data/id")
    if not isinstance(attributes, dict) or not isinstance(relations, dict):
        raise Refused("The member must be an object.", 422, "/data/attributes")
    return attributes, relations
