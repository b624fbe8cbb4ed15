"""File names that are not UTF-8, kept exactly where they are read again, and made printable where people read them.

Python holds the bytes of such a name as lone surrogates, which UTF-8 cannot encode.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from edgehar.printable import valid_unicode

T = TypeVar("T")


def printable_values(value: Any) -> Any:
    """Return built-in JSON types with every string printable."""
    if isinstance(value, str):
        return valid_unicode(value)
    if isinstance(value, dict):
        return {printable_values(key): printable_values(content) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable_values(content) for content in value]
    return value


def encode_json(value: Any, indent: int | None = None) -> bytes:
    """Return a value as ASCII JSON, with names that are not UTF-8 exact; `decode_json` reads it."""
    return json.dumps(msgspec.to_builtins(value), indent=indent).encode("ascii")


def decode_json(content: bytes | str, kind: type[T]) -> T:
    """Read a value that `encode_json` wrote.

    Raises:
        msgspec.DecodeError: it is not JSON, or not of this type.
    """
    try:
        return msgspec.convert(json.loads(content), type=kind)
    except ValueError as error:
        if isinstance(error, msgspec.DecodeError):
            raise
        raise msgspec.DecodeError(str(error)) from error
