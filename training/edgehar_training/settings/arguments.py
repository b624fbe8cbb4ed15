"""Command line options made of the settings' structs, so that a setting is described once."""

from __future__ import annotations

import argparse
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as shapes

from edgehar.config.settings import settings_of
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgehar.config.settings import Setting, Struct


def add_options(parser: argparse.ArgumentParser, groups: Mapping[str, Struct]) -> None:
    """Add an option for every setting of every group; one that is not given leaves no trace in the arguments."""
    for name, struct in groups.items():
        group = parser.add_argument_group((struct.__doc__ or name).rstrip(".").lower())
        for setting in settings_of(struct).values():
            _add(group, name, setting)


def given_options(args: argparse.Namespace, groups: Mapping[str, Struct]) -> dict[str, dict[str, Any]]:
    """Return the values of the command line by group and setting, converted and checked.

    Raises:
        ConfigError: a value is not of its kind, or out of its bounds.
    """
    given: dict[str, dict[str, Any]] = {}
    for name, struct in groups.items():
        for setting in settings_of(struct).values():
            if (key := _key(name, setting)) in args:
                given.setdefault(name, {})[setting.name] = _checked(setting, getattr(args, key))
    return given


def flag_of(setting: Setting) -> str:
    """Return the option of a setting, such as `--batch-size`."""
    return f"--{_notes(setting).get('flag', setting.name).replace('_', '-')}"


def _add(group: Any, name: str, setting: Setting) -> None:
    flag, key = flag_of(setting), _key(name, setting)
    text = _help(setting)
    options: dict[str, Any] = {"dest": key, "default": argparse.SUPPRESS, "help": text.replace("%", "%%")}
    match setting.shape:
        case shapes.BoolType():
            group.add_argument(flag, action=argparse.BooleanOptionalAction, **options)
        case shapes.LiteralType(values=values):
            group.add_argument(flag, choices=values, **options)
        case shapes.DictType():
            group.add_argument(flag, action="extend", nargs="+", metavar=_metavar(setting), **options)
        case shapes.ListType():
            group.add_argument(flag, nargs="+", metavar=_metavar(setting), **options)
        case _:
            group.add_argument(flag, metavar=_metavar(setting), **options)


def _key(group: str, setting: Setting) -> str:
    return f"{group}.{setting.name}"


def _notes(setting: Setting) -> dict[str, Any]:
    notes: dict[str, Any] = {}
    shape = shapes.type_info(setting.kind)
    while isinstance(shape, shapes.Metadata):
        notes |= shape.extra or {}
        shape = shape.type
    return notes


def _metavar(setting: Setting) -> str:
    kind = {shapes.IntType: "N", shapes.FloatType: "X"}.get(type(setting.shape), "TEXT")
    return str(_notes(setting).get("metavar", kind))


def _help(setting: Setting) -> str:
    # Lower case and no full stop, as argparse's own.
    text = setting.description[0].lower() + setting.description[1:].rstrip(".")
    default = setting.default
    if default is None or default in ([], {}):
        return text
    if isinstance(default, bool):
        default = "on" if default else "off"
    return f"{text} (default: {default})"


def _checked(setting: Setting, value: Any) -> Any:
    if isinstance(setting.shape, shapes.DictType):
        return dict(_pair(setting, text) for text in value)
    try:
        return msgspec.convert(value, setting.kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{flag_of(setting)} is {value}, it must be {setting.words}") from error


def _pair(setting: Setting, text: str) -> tuple[str, Any]:
    """Parse KEY=VALUE; the value is a number, true, false or text."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ConfigError(f"{flag_of(setting)} is {text}, it must be KEY=VALUE, such as units=64")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
