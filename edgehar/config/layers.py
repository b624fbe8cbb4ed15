"""Layers of settings - file, environment, command line: each is checked by itself, then laid upon those below.

A checked layer is a dict of tables; where a value stood there is a `Given`. An array of tables is a list of dicts, or a
dict that says which of the tables below are changed: by their numbers, or every one of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar.config.settings import every_path, settings_of
from edgehar.config.words import dotted, meant, shown
from edgehar.credentials import Secret
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgehar.config.settings import Setting, Struct
    from edgehar.config.words import Path


@dataclass(frozen=True)
class Given:
    """A value, which may be a password or an address with one, and who gave it."""

    value: Any = field(repr=False)
    origin: str


@dataclass(frozen=True)
class Layer:
    """Where a layer comes from, and what is particular about it.

    Attributes:
        origin: who gives its values, for people.
        problems: what is wrong, one line for each; `check` adds to it.
        final: what to make of a converted value: a relative path, for one, starts at the file it stands in.
        changes_tables: whether a table in place of an array of tables changes those of the layers below.
    """

    origin: str
    problems: list[str]
    final: Callable[[Setting, Any], Any] = lambda _setting, value: value
    changes_tables: bool = False

    def blame(self, path: Path, what: str) -> None:
        """Add a problem with the value at `path`."""
        self.problems.append(f"{self.origin}: {dotted(path)} {what}")

    def check(self, struct: Struct, given: Mapping[Any, Any]) -> dict[Any, Any]:
        """The values of a table that are right, converted; the others become problems."""
        return self._table(struct, given, path=(), root=struct)

    def _table(self, struct: Struct, given: Mapping[Any, Any], path: Path, root: Struct) -> dict[Any, Any]:
        known = settings_of(struct)
        checked = {}
        for name, value in given.items():
            here = (*path, str(name))
            if name not in known:
                self.blame(here, _unknown(root, struct, path, str(name)))
            elif known[name].table is not None:
                checked[name] = self._tables(known[name], value, here, root)
            else:
                checked[name] = self._value(known[name], value, here)
        return {name: value for name, value in checked.items() if value is not None}

    def _tables(self, setting: Setting, value: Any, path: Path, root: Struct) -> Any:
        assert setting.table is not None
        if not setting.many:
            if isinstance(value, dict):
                return self._table(setting.table, value, path, root)
            self.blame(path, f"must be a table: write [{setting.name}] and its keys below")
            return None
        if isinstance(value, list) and all(isinstance(table, dict) for table in value):
            return [self._table(setting.table, table, (*path, number), root) for number, table in enumerate(value)]
        if isinstance(value, dict) and self.changes_tables:
            return self._table(setting.table, value, path, root)
        self.blame(path, f"must be an array of tables: write [[{setting.name}]] with two brackets, and its keys below")
        return None

    def _value(self, setting: Setting, value: Any, path: Path) -> Given | None:
        try:
            converted = convert(setting, value)
        except ValueError:
            seen = "set" if setting.secret else shown(value)
            guess = meant(value, _choices(setting)) if isinstance(value, str) else ""
            hint = f'; did you mean "{guess}"?' if guess else ""
            self.blame(path, f"is {seen}, it must be {setting.words}{hint}")
            return None
        return Given(self.final(setting, converted), self.origin)


def convert(setting: Setting, value: Any, *, strict: bool = True) -> Any:
    """A value as the setting's type; ValueError when it is none. What is not strict reads numbers from text."""
    if value is None:
        raise ValueError
    try:
        converted = msgspec.convert(value, setting.kind, strict=strict, dec_hook=_read_secret)
    except (OverflowError, RecursionError) as error:
        raise ValueError from error
    # Text that is read as no value at all, and numbers that are none.
    if converted is None or (isinstance(converted, float) and not math.isfinite(converted)):
        raise ValueError
    return converted


def _read_secret(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError


def lay_upon(struct: Struct, low: dict[Any, Any], high: dict[Any, Any]) -> dict[Any, Any]:
    """The tables of `low` with what `high` changes; both are checked."""
    merged = dict(low)
    for name, value in high.items():
        setting = settings_of(struct)[name]
        if setting.table is None:
            merged[name] = value
        elif not setting.many:
            merged[name] = lay_upon(setting.table, low.get(name, {}), value)
        elif isinstance(value, list):
            merged[name] = value
        else:
            merged[name] = _changed_tables(setting.table, low.get(name) or [{}], value)
    return merged


def _changed_tables(struct: Struct, low: list[dict[Any, Any]], high: dict[Any, Any]) -> list[dict[Any, Any]]:
    if not all(isinstance(number, int) for number in high):
        return [lay_upon(struct, table, high) for table in low]
    return [lay_upon(struct, table, high.get(number, {})) for number, table in enumerate(low)]


def build(struct: Struct, tree: dict[Any, Any], problems: list[str], path: Path = ()) -> Any:
    """The struct that merged layers stand for; None when something is missing or does not go together."""
    where = f"[{dotted(path)}]: " if path else ""
    fields: dict[str, Any] = {}
    before = len(problems)
    for name, setting in settings_of(struct).items():
        if name not in tree:
            if setting.default is msgspec.NODEFAULT:
                problems.append(f"{where}{name} is missing; it must be {setting.words}")
        elif setting.table is None:
            fields[setting.field] = tree[name].value
        elif setting.many:
            tables = [build(setting.table, table, problems, (*path, name, n)) for n, table in enumerate(tree[name])]
            fields[setting.field] = tables
        else:
            fields[setting.field] = build(setting.table, tree[name], problems, (*path, name))
    if len(problems) > before:
        return None
    try:
        return struct(**fields)
    except (ValueError, ConfigError) as error:
        problems.append(f"{where}{error}")
        return None


def _choices(setting: Setting) -> list[str]:
    return [value for value in getattr(setting.shape, "values", ()) if isinstance(value, str)]


def _unknown(root: Struct, struct: Struct, path: Path, name: str) -> str:
    known = settings_of(struct)
    # At the top, a key whose table was forgotten is likelier than one misspelt; within a table it is not.
    found = [_elsewhere(root, name), meant(name, known)]
    guess = next(filter(None, reversed(found) if path else found), "")
    advice = f"did you mean {guess}?" if guess else f"known here: {', '.join(known)}"
    return f"is no setting; {advice}"


def _elsewhere(root: Struct, name: str) -> str:
    """The whole path of a key that goes by this name in some table, those for everything first; or an empty string."""
    found = [path for path, _ in every_path(root) if path[-1] == name]
    return dotted(min(found, key=lambda path: settings_of(root)[str(path[0])].many)) if found else ""
