"""The sample file, and the tables of the user guide, both generated from the schema."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as shapes

from edgehar.config.options import Config
from edgehar.config.settings import plain_settings, tables_of
from edgehar.config.words import toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgehar.config.loading import Loaded
    from edgehar.config.settings import Setting, Struct

_HEAD = """\
# The configuration of edgehar-run, in TOML.
#
# Lines that start with "#" and no space are settings that are not set. Remove the "#" to set one, and the "#" of its
# [table]. "edgehar config check FILE" checks the file.
"""


def sample() -> str:
    """Return the sample file: every setting, commented out, with its default or an example."""
    return "\n".join([_HEAD, *_sample_table(Config, ())])


def reference() -> str:
    """Return the tables of settings in Markdown, for `docs/config.md`."""
    return "\n".join(_reference_table(Config, (), "")).strip() + "\n"


def as_set(loaded: Loaded) -> str:
    """Return every setting in TOML with its origin. Secrets are masked."""
    return "\n".join(_set_table(loaded.config, loaded.given, "")).strip() + "\n"


def _set_table(struct: msgspec.Struct, given: Mapping[Any, Any], path: str) -> Iterator[str]:
    for name, setting in plain_settings(type(struct)).items():
        value = getattr(struct, setting.field)
        origin = given[name].origin if name in given else "default"
        yield f"# {name} is not set" if value is None else f"{name} = {toml(value)}  # {origin}"
    for name, setting in tables_of(type(struct)).items():
        inner, header = getattr(struct, setting.field), f"{path}{name}"
        if inner is None:
            yield f"\n# [{header}] is off"
        elif setting.many:
            tables = given.get(name) or [{}] * len(inner)
            for table, below in zip(inner, tables, strict=True):
                yield f"\n[[{header}]]"
                yield from _set_table(table, below, f"{header}.")
        else:
            yield f"\n[{header}]"
            yield from _set_table(inner, given.get(name, {}), f"{header}.")


def _sample_table(struct: Struct, path: tuple[str, ...]) -> Iterator[str]:
    for setting in plain_settings(struct).values():
        unset = setting.default is None or setting.default is msgspec.NODEFAULT
        yield _comment(setting.description + (" For example:" if unset else ""))
        yield f"#{setting.name} = {toml(example_of(setting), masked=False)}\n"
    for setting in tables_of(struct).values():
        assert setting.table is not None
        inner = (*path, setting.name)
        header = f"[[{'.'.join(inner)}]]" if setting.many else f"[{'.'.join(inner)}]"
        yield f"\n{_comment(setting.description)}\n{_mark(setting)}{header}\n"
        yield from _sample_table(setting.table, inner)


def _mark(setting: Setting) -> str:
    # Such a table turns something on by being there.
    return "#" if setting.default is None else ""


def _comment(text: str) -> str:
    return textwrap.fill(text, 118, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def example_of(setting: Setting) -> Any:
    """Return the default of a setting or, if there is none, an example."""
    if setting.example is not None and setting.default in (None, msgspec.NODEFAULT, {}, [], ""):
        return setting.example
    if setting.default is not None and setting.default is not msgspec.NODEFAULT:
        return setting.default
    match setting.shape:
        case shapes.BoolType():
            return False
        case shapes.FloatType(ge=float() | int() as low, le=float() | int() as high):
            return (low + high) / 2
        case shapes.IntType() | shapes.FloatType():
            return setting.shape.ge if setting.shape.ge is not None else (setting.shape.gt or 0) + 1
        case shapes.LiteralType(values=values):
            return values[0]
        case shapes.ListType() | shapes.VarTupleType():
            return []
        case shapes.DictType():
            return {}
        case _:
            return "..."


def _reference_table(struct: Struct, path: tuple[str, ...], title: str) -> Iterator[str]:
    if title:
        yield f"\n### `{title}`\n"
        yield f"{_about(struct)}\n"
    yield "| key | meaning | values | default |\n|---|---|---|---|"
    for setting in plain_settings(struct).values():
        cells = (f"`{setting.name}`", setting.description, setting.words, _default(setting))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    for setting in tables_of(struct).values():
        assert setting.table is not None
        inner = (*path, setting.name)
        name = ".".join(inner)
        yield from _reference_table(setting.table, inner, f"[[{name}]]" if setting.many else f"[{name}]")


def _about(struct: Struct) -> str:
    parents = {setting.table: setting for setting in tables_of(Config).values()}
    setting = parents.get(struct)
    if setting is None:
        return ""
    return setting.description + (" Off without this table." if setting.default is None else "")


def _default(setting: Setting) -> str:
    if setting.default is msgspec.NODEFAULT:
        return "required"
    return "not set" if setting.default is None else f"`{toml(setting.default)}`"
