"""Every operation of every service, with what its OpenAPI document declares of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

from libs.auth.principals import Scope


@dataclass(frozen=True)
class Operation:
    """One method of one path. `who`, `scope` and `callers` are the declaration (`x-access`)."""

    service: str
    method: str
    path: str
    name: str
    who: str
    scope: Scope | None
    callers: tuple[str, ...]
    parameters: tuple[str, ...]
    example: Any = field(repr=False)
    streams: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def url(self, things: Mapping[str, str]) -> str:
        """The path with its parameters filled in."""
        return self.path.format(**things)


def operations_of(service: str, app: FastAPI) -> Iterator[Operation]:
    """Those of one service. Raises KeyError for one that does not declare who may enter."""
    document = app.openapi()
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            access = described["x-access"]
            yield Operation(
                service=service,
                method=method.upper(),
                path=path,
                name=described["operationId"],
                who=access["who"],
                scope=access.get("scope"),
                callers=tuple(access.get("services", ())),
                parameters=tuple(
                    parameter["name"]
                    for parameter in described.get("parameters", [])
                    if parameter["in"] == "path"
                ),
                example=example_of(document, described),
                streams="text/event-stream"
                in described["responses"].get("200", {}).get("content", {}),
            )


def example_of(document: dict[str, Any], described: dict[str, Any]) -> Any:
    """The first example of the request's body; None where it takes none."""
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    schema = content["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema["examples"][0]


def all_operations(apps: Mapping[str, FastAPI]) -> list[Operation]:
    """Those of all services, in the order of the documents."""
    return [operation for name, app in apps.items() for operation in operations_of(name, app)]
