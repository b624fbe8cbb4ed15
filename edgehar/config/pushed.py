"""Settings that an operator pushes to devices: a TOML file of tables of the configuration."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar.config.options import Config
from edgehar.config.settings import settings_of
from edgehar.config.words import dotted
from edgehar.errors import ConfigError
from edgehar.events.options import DecisionOptions
from edgehar.nearest import nearest
from edgehar.sinks.mqtt.orders import MOST_SETTINGS
from edgehar.web.services import SettingChange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_settings(text: str) -> Iterator[SettingChange]:
    """Yield the settings of a TOML file.

    Raises:
        ConfigError: it is not TOML, or a setting is not known.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"settings: {error}") from None
    yield from _changes(Config, tables, ())


def _changes(struct: Any, given: dict[str, Any], path: tuple[str, ...]) -> Iterator[SettingChange]:
    known = settings_of(struct)
    for name, value in given.items():
        where = ".".join((*path, name))
        if (setting := known.get(name)) is None:
            near = nearest(name, known)
            hint = f"; did you mean {near}?" if near else ""
            raise ConfigError(f"unknown setting {where}{hint}")
        if setting.many:
            raise ConfigError(f"{where}: cameras differ from device to device; change them there")
        if setting.table is None:
            yield SettingChange([*path, name], value)
        elif isinstance(value, dict):
            yield from _changes(setting.table, value, (*path, name))
        else:
            raise ConfigError(f"{where}: is a table; write [{where}]")


def check_settings(path: Path) -> str:
    """Return the text of a file of settings, checked as far as that is possible without the device.

    Raises:
        ConfigError: it cannot be read, is too long, or holds a setting that is not known, or that cannot be pushed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        changes = list(read_settings(text))
        if len(text) > MOST_SETTINGS:
            raise ConfigError(f"has {len(text)} characters; at most {MOST_SETTINGS} can be pushed")
        for change in changes:
            if change.path[0] != "decision":
                raise ConfigError(f"{dotted(tuple(change.path))} cannot be pushed; only settings of [decision] can")
        if not changes:
            raise ConfigError("holds no setting; write, for example, [decision] and threshold = 0.8")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        msgspec.convert(tomllib.loads(text)["decision"], DecisionOptions)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: [decision] {error}") from None
    return text
