"""Settings, read from the options structs: the one source of names, types, defaults, bounds and descriptions."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as shapes

from edgehar.config.words import expected
from edgehar.credentials import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Struct = type[msgspec.Struct]


@dataclass(frozen=True)
class Setting:
    """One key of a table.

    Attributes:
        name: the key.
        field: name of the struct's field.
        kind: type with its bounds, for `msgspec.convert`.
        shape: the same type in parts, without None and without description.
        default: its default; `msgspec.NODEFAULT` if it is required.
        description: one sentence for people.
        words: the values it accepts, in words that follow "it must be".
        example: a value to show if there is no default.
        table: struct of a table's keys; None for a plain value.
        many: whether it is an array of tables, `[[name]]`.
        path: whether a value is a path: True, False, or a function of the value.
        is_input: whether it names a file to read.
        is_secret_file: whether that file should be readable by its owner only.
        aliases: other words for it, in lower case, to suggest it by.
    """

    name: str
    field: str
    kind: Any
    shape: shapes.Type
    default: Any
    description: str
    words: str
    example: Any
    table: Struct | None
    many: bool
    path: bool | Callable[[str], bool]
    is_input: bool
    is_secret_file: bool
    aliases: tuple[str, ...]

    def is_path(self, value: object) -> bool:
        """Return whether a value of this setting is a path."""
        if not isinstance(value, str):
            return False
        return self.path if isinstance(self.path, bool) else self.path(value)

    @property
    def secret(self) -> bool:
        """Whether the value must never be shown."""
        return isinstance(self.shape, shapes.CustomType) and self.shape.cls is Secret


@functools.cache
def settings_of(struct: Struct) -> dict[str, Setting]:
    """Return the keys of a table, by name, in the order of the struct's fields."""
    return {field.encode_name: _setting(field) for field in msgspec.structs.fields(struct)}


def plain_settings(struct: Struct) -> dict[str, Setting]:
    """Return the keys of a table that are plain values."""
    return {name: setting for name, setting in settings_of(struct).items() if setting.table is None}


def tables_of(struct: Struct) -> dict[str, Setting]:
    """Return the keys of a table that are tables."""
    return {name: setting for name, setting in settings_of(struct).items() if setting.table is not None}


def every_path(struct: Struct, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Setting]]:
    """Yield every plain value with its path: the struct's own keys first, then those of its tables."""
    for name, setting in plain_settings(struct).items():
        yield (*path, name), setting
    for name, setting in tables_of(struct).items():
        assert setting.table is not None
        yield from every_path(setting.table, (*path, name))


def default_of(field: Any) -> Any:
    """Return the default of a struct's field; a new object if there is a factory."""
    made = field.default_factory
    return field.default if made is msgspec.NODEFAULT else made()


def _setting(field: msgspec.structs.FieldInfo) -> Setting:
    shape, notes = _bare(shapes.type_info(field.type))
    many = isinstance(shape, shapes.ListType) and isinstance(_bare(shape.item_type)[0], shapes.StructType)
    inner = _bare(shape.item_type)[0] if many and isinstance(shape, shapes.ListType) else shape
    examples = notes.get("examples") or [None]
    return Setting(
        name=field.encode_name,
        field=field.name,
        kind=field.type,
        shape=shape,
        default=default_of(field),
        description=notes.get("description", ""),
        words=notes.get("words") or expected(shape),
        example=examples[0],
        table=inner.cls if isinstance(inner, shapes.StructType) else None,
        many=many,
        path=notes.get("path", False),
        is_input=notes.get("input", False),
        is_secret_file=notes.get("secret", False),
        aliases=notes.get("aliases", ()),
    )


def _bare(shape: shapes.Type) -> tuple[shapes.Type, dict[str, Any]]:
    """Return a type without None and metadata, and the metadata: description, examples, words, path and so on."""
    notes: dict[str, Any] = {}
    while True:
        if isinstance(shape, shapes.Metadata):
            notes = {**(shape.extra_json_schema or {}), **(shape.extra or {}), **notes}
            shape = shape.type
        elif isinstance(shape, shapes.UnionType) and any(isinstance(kind, shapes.NoneType) for kind in shape.types):
            kinds = tuple(kind for kind in shape.types if not isinstance(kind, shapes.NoneType))
            shape = kinds[0] if len(kinds) == 1 else shapes.UnionType(kinds)
        else:
            return shape, notes
