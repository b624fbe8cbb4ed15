"""Settings in words: the values they accept, and the values they have, without secrets."""

from __future__ import annotations

import enum
import json
import re
from typing import Any

from msgspec import inspect as shapes

from edgehar.credentials import Secret, without_credentials

# A place in the configuration: keys, and the numbers of tables in arrays of tables.
Path = tuple[str | int, ...]
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_SHOWN = 60


def dotted(path: Path) -> str:
    """Return a path as people write it.

    >>> dotted(("camera", 0, "source"))
    'camera[0].source'
    """
    text = ""
    for part in path:
        name = f"[{part}]" if isinstance(part, int) else _short(key(part))
        text += f".{name}" if text and isinstance(part, str) else name
    return text


def key(name: str) -> str:
    """Return a TOML key, quoted if needed."""
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def toml(value: Any, *, masked: bool = True) -> str:
    """Return a value in TOML. Secrets are always masked, credentials in addresses if `masked`."""
    match value:
        case Secret():
            return _quoted(str(value))
        case enum.Enum():
            return toml(value.value, masked=masked)
        case str():
            return _quoted(without_credentials(value) if masked else value)
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return f"[{', '.join(toml(item, masked=masked) for item in value)}]"
        case dict():
            pairs = [f"{key(str(name))} = {toml(item, masked=masked)}" for name, item in value.items()]
            return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
        case _:
            return str(value)


def shown(value: Any) -> str:
    """Return a value for a message: masked, on one line, and shortened."""
    return _short(toml(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _quoted(text: str) -> str:
    """Return a TOML string on one line."""
    # A JSON string is also a TOML string, except for lone surrogates and a few characters that do not print.
    plain = json.dumps(re.sub("[\ud800-\udfff]", "\ufffd", text), ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08X}" for letter in plain)


def expected(shape: shapes.Type) -> str:
    """Return the values that a type accepts, in words that follow "it must be"."""
    match shape:
        case shapes.BoolType():
            return "true or false"
        case shapes.IntType():
            return f"a whole number{_bounds(shape)}"
        case shapes.FloatType():
            return f"a number{_bounds(shape)}"
        case shapes.StrType(pattern=str(pattern)):
            return f"text of the form {pattern}"
        case shapes.StrType(min_length=int(length)) if length > 0:
            return "text, not empty"
        case shapes.LiteralType(values=values):
            return _either([toml(value) for value in values])
        case shapes.EnumType(cls=cls):
            return _either([toml(member) for member in cls])
        case shapes.TupleType(item_types=items):
            return f"a list of {len(items)}, each {' / '.join(dict.fromkeys(map(expected, items)))}"
        case shapes.ListType(item_type=item) | shapes.VarTupleType(item_type=item) | shapes.SetType(item_type=item):
            return f"a list, each {expected(item)}"
        case shapes.DictType(value_type=item):
            return f"a table of names, each with {expected(item)}"
        case shapes.Metadata(type=inner):
            return expected(inner)
        case shapes.UnionType(types=kinds):
            return _either([expected(kind) for kind in kinds])
        case _:
            return "text"


def _bounds(shape: shapes.IntType | shapes.FloatType) -> str:
    low, high = "", ""
    if shape.ge is not None:
        low = f" from {_number(shape.ge)}" if shape.le is not None else f", {_number(shape.ge)} or more"
    elif shape.gt is not None:
        low = f" above {_number(shape.gt)}"
    if shape.le is not None:
        high = f" to {_number(shape.le)}" if low else f", at most {_number(shape.le)}"
    elif shape.lt is not None:
        high = f"{' and' if low else ''} under {_number(shape.lt)}"
    return low + high


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
