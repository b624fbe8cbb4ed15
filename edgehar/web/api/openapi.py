"""The OpenAPI document, generated from the operations and the structs of their answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar._version import __version__
from edgehar.web.answers import Problem
from edgehar.web.api.operation import BASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar.web.api.operation import Operation, Parameter

_REFERENCE = "#/components/schemas/{name}"


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of some operations."""
    kinds: set[type[Any]] = {
        kind for operation in operations for kind in (operation.answer, operation.body) if kind is not None
    }
    ordered: list[type[Any]] = [Problem, *sorted(kinds, key=lambda kind: kind.__name__)]
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    references = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "edgehar", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": ".", "description": "the folder of this document"}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SECURITY},
        "security": [{"session": []}],
    }


_DESCRIPTION = (
    f"Everything that the pages do. Paths are below {BASE}. With a password, log in by POST /session and keep its "
    "cookie. Requests other than GET send the csrf of GET /session in X-CSRF-Token."
)
_SECURITY = {"session": {"type": "apiKey", "in": "cookie", "name": "edgehar-session"}}


def _operation(operation: Operation, references: dict[type[Any], Any]) -> dict[str, Any]:
    if operation.answer is not None:
        content: dict[str, Any] = {"application/json": {"schema": references[operation.answer]}}
    else:
        content = {operation.media_type: {}}
    responses = {"200": {"description": "Done.", "content": content}}
    for status, text in ((401, "Log in first."), *operation.refusals):
        problem = {"application/json": {"schema": references[Problem]}}
        responses[str(status)] = {"description": text, "content": problem}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*map(_path_parameter, re.findall(r"{(\w+)", operation.path)), *map(_parameter, operation.query)],
        "responses": responses,
    }
    if operation.body is not None:
        body = {"application/json": {"schema": references[operation.body]}}
        described["requestBody"] = {"required": True, "content": body}
    return described


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.kind}
    if parameter.many:
        schema = {"type": "array", "items": schema}
    return {"name": parameter.name, "in": "query", "description": parameter.description, "schema": schema}
