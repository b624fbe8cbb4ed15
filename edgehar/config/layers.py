"""Layers of settings: file, environment, command line. Each layer is checked, then laid over the layers below.

A checked layer is a dict of tables with a `Given` for each value. An array of tables is a list of dicts; or a dict that
changes tables of the layers below, by number, or all of them.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as shapes

from edgehar.config.settings import every_path, settings_of
from edgehar.config.words import dotted, shown
from edgehar.credentials import Secret
from edgehar.errors import ConfigError
from edgehar.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgehar.config.settings import Setting, Struct
    from edgehar.config.words import Path

_COLLECTIONS = shapes.ListType | shapes.VarTupleType | shapes.TupleType | shapes.DictType | shapes.SetType


@dataclass(frozen=True)
class Given:
    """A value and where it comes from. The value may be a password, or an address with one.

    Attributes:
        value: the value, converted.
        origin: the file, variable or option, for people.
        is_secret_file: whether it names a file that should be readable by its owner only.
    """

    value: Any = field(repr=False)
    origin: str
    is_secret_file: bool = False


@dataclass(frozen=True)
class Text:
    """A value as text, as an option of the command line or a variable gives it.

    Attributes:
        text: the text.
        origin: name of the option or variable.
    """

    text: str
    origin: str


@dataclass(frozen=True)
class Layer:
    """A layer to be checked.

    Attributes:
        origin: where its values come from, for people.
        problems: what is wrong, one line each; `check` adds to it.
        final: changes a converted value: in a file, for example, a relative path starts at the file's folder.
        changes_tables: whether a table in place of an array of tables changes the tables of the layers below.
    """

    origin: str
    problems: list[str]
    final: Callable[[Setting, Any], Any] = lambda _setting, value: value
    changes_tables: bool = False

    def blame(self, path: Path, what: str) -> None:
        """Add a problem with the value at `path`."""
        self.problems.append(f"{self.origin}: {dotted(path)} {what}")

    def check(self, struct: Struct, given: Mapping[Any, Any]) -> dict[Any, Any]:
        """Return the valid values of a table, converted. The others become problems."""
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
            self.blame(path, f"must be a table: write [{setting.name}], and its keys below it")
            return None
        if isinstance(value, list) and all(isinstance(table, dict) for table in value):
            return [self._table(setting.table, table, (*path, number), root) for number, table in enumerate(value)]
        if isinstance(value, dict) and self.changes_tables:
            return self._table(setting.table, value, path, root)
        self.blame(path, f"must be an array of tables: write [[{setting.name}]], and its keys below it")
        return None

    def _value(self, setting: Setting, value: Any, path: Path) -> Given | None:
        if isinstance(value, Text):
            return read_text(setting, value, self.problems)
        try:
            converted = convert(setting, value)
        except ValueError:
            self.blame(path, refusal(setting, value))
            return None
        return Given(self.final(setting, converted), self.origin, setting.is_secret_file)


def refusal(setting: Setting, value: Any) -> str:
    """Return what is wrong with a value: what it is, what it must be, and what was probably meant."""
    seen = "set" if setting.secret else shown(value)
    choices = [choice for choice in getattr(setting.shape, "values", ()) if isinstance(choice, str)]
    guess = nearest(value, choices) if isinstance(value, str) else ""
    hint = f'; did you mean "{guess}"?' if guess else ""
    return f"is {seen}, it must be {setting.words}{hint}"


def read_text(setting: Setting, given: Text, problems: list[str]) -> Given | None:
    """Return the value that a text stands for. If there is none, add a problem and return None."""
    try:
        value = _of_text(setting, given.text)
    except ValueError:
        problems.append(f"{given.origin} {refusal(setting, given.text)}")
        return None
    return Given(value, given.origin, setting.is_secret_file)


def _of_text(setting: Setting, text: str) -> Any:
    if not isinstance(setting.shape, _COLLECTIONS):
        return convert(setting, text, strict=False)
    # In TOML; the brackets of a list may be left out.
    if not text.strip().startswith(("[", "{")):
        text = f"[{text}]"
    try:
        return convert(setting, tomllib.loads(f"value = {text}")["value"])
    except RecursionError as error:
        raise ValueError from error


def convert(setting: Setting, value: Any, *, strict: bool = True) -> Any:
    """Convert a value to the setting's type; raises ValueError if it is invalid. `strict=False` reads text."""
    if value is None:
        raise ValueError
    try:
        converted = msgspec.convert(value, setting.kind, strict=strict, dec_hook=_read_secret)
    except (OverflowError, RecursionError) as error:
        raise ValueError from error
    # Refuse text that msgspec reads as None, and numbers that are not finite.
    if converted is None or (isinstance(converted, float) and not math.isfinite(converted)):
        raise ValueError
    return converted


def _read_secret(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError


def lay_upon(struct: Struct, low: dict[Any, Any], high: dict[Any, Any]) -> dict[Any, Any]:
    """Return the tables of `low` with the changes of `high`. Both are checked layers."""
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
    """Return the struct of merged layers.

    Returns None, and adds problems, if a required value is missing or values contradict each other. A table with such
    a problem is replaced by its defaults, so that problems of other tables are found as well.
    """
    where = f"[{dotted(path)}]: " if path else ""
    fields: dict[str, Any] = {}
    before = len(problems)
    incomplete = False
    for name, setting in settings_of(struct).items():
        if name not in tree:
            if setting.default is msgspec.NODEFAULT:
                problems.append(f"{where}{name} is missing; it must be {setting.words}")
                incomplete = True
        elif setting.table is None:
            fields[setting.field] = tree[name].value
        elif setting.many:
            tables = [build(setting.table, table, problems, (*path, name, n)) for n, table in enumerate(tree[name])]
            incomplete = incomplete or None in tables
            fields[setting.field] = tables
        elif (built := build(setting.table, tree[name], problems, (*path, name))) is not None:
            fields[setting.field] = built
    if incomplete:
        return None
    try:
        built = struct(**fields)
    except (ValueError, ConfigError) as error:
        problems.append(f"{where}{error}")
        return None
    return built if len(problems) == before else None


def _unknown(root: Struct, struct: Struct, path: Path, name: str) -> str:
    """Return what is wrong with an unknown key, and the key that was probably meant."""
    known = settings_of(struct)
    same = next((key for key, setting in known.items() if name.casefold() in setting.aliases), "")
    # At the top, a forgotten table is likelier than a misspelled key; within a table it is the other way round.
    found = [_elsewhere(root, name), nearest(name, known)]
    guess = same or next(filter(None, reversed(found) if path else found), "")
    advice = f"did you mean {guess}?" if guess else f"known here: {', '.join(known)}"
    return f"is not a setting; {advice}"


def _elsewhere(root: Struct, name: str) -> str:
    """Return the path of a key of this name, or with it as an alias, in any table; else an empty string."""
    paths = list(every_path(root))
    found = [path for path, _ in paths if path[-1] == name]
    found = found or [path for path, setting in paths if name.casefold() in setting.aliases]
    # Prefer settings of the whole program to those of one camera.
    return dotted(min(found, key=lambda path: settings_of(root)[str(path[0])].many)) if found else ""
