"""Settings from environment variables: `EDGEHAR_MQTT__URL` is `url` in the table `[mqtt]`."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from msgspec import inspect as shapes

from edgehar.config.layers import Given, convert
from edgehar.config.settings import every_path, settings_of
from edgehar.config.words import dotted, meant, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgehar.config.settings import Setting, Struct
    from edgehar.config.words import Path

PREFIX = "EDGEHAR_"
# These are read elsewhere.
_OTHERS = ("EDGEHAR_MQTT_PASSWORD", "EDGEHAR_RUNTIME")
# How alike names are that are taken for one another.
_NEARLY = 0.8


def variable_of(path: Path) -> str:
    """The variable of a setting.

    >>> variable_of(("camera", 0, "source"))
    'EDGEHAR_CAMERA__0__SOURCE'
    """
    return PREFIX + "__".join(str(part).upper() for part in path)


def layers_of(struct: Struct, environ: Mapping[str, str], problems: list[str]) -> Iterator[dict[Any, Any]]:
    """One checked layer for each variable that sets something; an empty one sets nothing.

    Other programs may have variables that begin as ours do: only one with `__` in it, or nearly the name of one of
    ours, is a problem when it is none of ours.
    """
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in _OTHERS or not text:
            continue
        path: Path = tuple(int(part) if part.isdecimal() else part for part in name[len(PREFIX) :].lower().split("__"))
        setting = _find(struct, path)
        if setting is None:
            guess = _nearest(struct, name)
            if guess or len(path) > 1:
                advice = f"did you mean {guess}?" if guess else "unset it; edgehar config show lists what there is"
                problems.append(f"{dotted((name,))} is no setting; {advice}")
            continue
        try:
            value = _read(setting, text)
        except ValueError:
            seen = "set" if setting.secret else shown(text)
            problems.append(f"{name} is {seen}, it must be {setting.words}")
            continue
        layer: Any = Given(value, name)
        for part in reversed(path):
            layer = {part: layer}
        yield layer


def number_problem(layer: dict[Any, Any], tables: Mapping[str, int]) -> str:
    """What is wrong with the number of a table in a layer, when there are so many of each; else an empty string."""
    for name, inner in layer.items():
        for number in inner if name in tables else ():
            if isinstance(number, int) and number >= tables[name]:
                return f"there is no {dotted((name, number))}: they count from 0, and there are {tables[name]}"
    return ""


def _find(struct: Struct, path: Path) -> Setting | None:
    """The plain value at a path; None when there is none."""
    setting: Setting | None = None
    table: Struct | None = struct
    for part in path:
        if isinstance(part, int):
            if setting is None or not setting.many or table is None:
                return None
            continue
        setting = None if table is None else settings_of(table).get(part)
        if setting is None:
            return None
        table = setting.table
    return setting if table is None else None


def _read(setting: Setting, text: str) -> Any:
    """The value that a variable's text stands for; ValueError when it stands for none."""
    if not isinstance(
        setting.shape, shapes.ListType | shapes.VarTupleType | shapes.TupleType | shapes.DictType | shapes.SetType
    ):
        return convert(setting, text, strict=False)
    # As TOML has it; the brackets of a list may be left out.
    if not text.strip().startswith(("[", "{")):
        text = f"[{text}]"
    try:
        return convert(setting, tomllib.loads(f"value = {text}")["value"])
    except RecursionError as error:
        raise ValueError from error


def _nearest(struct: Struct, name: str) -> str:
    names = {variable_of(path)[len(PREFIX) :].lower(): variable_of(path) for path, _ in every_path(struct)}
    return names.get(meant(name[len(PREFIX) :], names, alike=_NEARLY), "")
