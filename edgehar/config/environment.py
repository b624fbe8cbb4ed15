"""Settings from environment variables: `EDGEHAR_MQTT__URL` is `url` in the table `[mqtt]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar.config.layers import Text, read_text
from edgehar.config.settings import every_path, settings_of
from edgehar.config.words import dotted
from edgehar.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgehar.config.settings import Setting, Struct
    from edgehar.config.words import Path

PREFIX = "EDGEHAR_"
# Variables that are read elsewhere.
_OTHERS = ("EDGEHAR_MQTT_PASSWORD", "EDGEHAR_RUNTIME", "EDGEHAR_EDGETPU_LIBRARY")
# Similarity from which a name counts as a misspelled one of ours.
_NEARLY = 0.8


def variable_of(path: Path) -> str:
    """Return the variable of a setting.

    >>> variable_of(("camera", 0, "source"))
    'EDGEHAR_CAMERA__0__SOURCE'
    """
    return PREFIX + "__".join(str(part).upper() for part in path)


def layers_of(struct: Struct, environ: Mapping[str, str], problems: list[str]) -> Iterator[dict[Any, Any]]:
    """Yield a checked layer for each variable that sets something. An empty variable sets nothing.

    Other programs may use the same prefix, so an unknown variable is a problem only if it contains `__` or resembles a
    known one.
    """
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in _OTHERS or not text:
            continue
        path: Path = tuple(int(part) if part.isdecimal() else part for part in name[len(PREFIX) :].lower().split("__"))
        setting = _find(struct, path)
        if setting is None:
            guess = _nearest(struct, name)
            if guess or len(path) > 1:
                advice = f"did you mean {guess}?" if guess else "unset it; edgehar config show lists all settings"
                problems.append(f"{dotted((name,))} is not a setting; {advice}")
            continue
        layer: Any = read_text(setting, Text(text, name), problems)
        if layer is None:
            continue
        for part in reversed(path):
            layer = {part: layer}
        yield layer


def number_problem(layer: dict[Any, Any], tables: Mapping[str, int]) -> str:
    """Return what is wrong with the number of a table in a layer, given how many tables there are; else ""."""
    for name, inner in layer.items():
        for number in inner if name in tables else ():
            if isinstance(number, int) and number >= tables[name]:
                return f"there is no {dotted((name, number))}: numbers start at 0, and there are {tables[name]}"
    return ""


def _find(struct: Struct, path: Path) -> Setting | None:
    """Return the plain value at a path, or None."""
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


def _nearest(struct: Struct, name: str) -> str:
    names = {variable_of(path)[len(PREFIX) :].lower(): variable_of(path) for path, _ in every_path(struct)}
    return names.get(nearest(name[len(PREFIX) :], names, alike=_NEARLY), "")
