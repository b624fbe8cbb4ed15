"""One operation of the API: its path, its handler, and what the OpenAPI document says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from edgehar.web.services import Services

    Handler: TypeAlias = Callable[[Request, Services], Awaitable[Response]]

BASE = "/api/v1"


@dataclass(frozen=True)
class Parameter:
    """A parameter of the query.

    Attributes:
        name: its name.
        description: for people.
        kind: its type in JSON Schema.
        many: whether it may be given several times.
    """

    name: str
    description: str
    kind: Literal["string", "integer", "number", "boolean"] = "string"
    many: bool = False


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        method: of HTTP.
        path: below `BASE`, with parameters in braces.
        handler: answers a request.
        summary: one sentence.
        answer: struct of the JSON answer; None if there is none.
        media_type: of an answer that is not JSON.
        body: struct of the JSON body; None if there is none.
        query: parameters of the query.
        refusals: other statuses, with a sentence each.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Handler
    summary: str
    answer: type[Any] | None = None
    media_type: str = "application/json"
    body: type[Any] | None = None
    query: tuple[Parameter, ...] = ()
    refusals: tuple[tuple[int, str], ...] = ()

    @property
    def name(self) -> str:
        """Its identifier in the document."""
        return str(getattr(self.handler, "__name__", self.path))
