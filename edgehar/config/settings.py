"""What can be set, read off the options structs: the one source of names, types, defaults, bounds and descriptions."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as shapes

from edgehar.config.words import expected
from edgehar.credentials import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

Struct = type[msgspec.Struct]


@dataclass(frozen=True)
class Setting:
    """One key of a table.

    Attributes:
        name: the key.
        field: the name of the struct's field, mostly the same.
        kind: the type with its bounds, as msgspec converts to it.
        shape: the same taken apart, without None and without description.
        default: what holds when it is not set; `msgspec.NODEFAULT` when it must be.
        description: one sentence for people.
        words: what it must be, in words that follow "it must be".
        example: a value to show where the default is None or missing.
        table: the struct of a table's keys, None for a plain value.
        many: whether it is an array of tables, `[[name]]`.
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

    @property
    def secret(self) -> bool:
        """Whether the value must not be seen."""
        return isinstance(self.shape, shapes.CustomType) and self.shape.cls is Secret


@functools.cache
def settings_of(struct: Struct) -> dict[str, Setting]:
    """The keys of a table, by name, in the order of the struct's fields."""
    return {field.encode_name: _setting(field) for field in msgspec.structs.fields(struct)}


def plain_settings(struct: Struct) -> dict[str, Setting]:
    """The keys of a table that are plain values."""
    return {name: setting for name, setting in settings_of(struct).items() if setting.table is None}


def tables_of(struct: Struct) -> dict[str, Setting]:
    """The keys of a table that are tables themselves."""
    return {name: setting for name, setting in settings_of(struct).items() if setting.table is not None}


def every_path(struct: Struct, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Setting]]:
    """All plain values with their paths, the tables' after the struct's own."""
    for name, setting in plain_settings(struct).items():
        yield (*path, name), setting
    for name, setting in tables_of(struct).items():
        assert setting.table is not None
        yield from every_path(setting.table, (*path, name))


def default_of(field: Any) -> Any:
    """The default of a struct's field, made anew where it is made by a factory."""
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
    )


def _bare(shape: shapes.Type) -> tuple[shapes.Type, dict[str, Any]]:
    """A type without None and notes, and the notes: description, examples, and `words` in place of a pattern."""
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
