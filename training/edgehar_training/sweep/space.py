"""The settings that a sweep searches, and their values: a TOML file.

[fit]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
batch_size = [8, 16, 32]

[network.options]
units = { low = 16, high = 64, step = 16 }
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import inspect as shapes

from edgehar.config.settings import settings_of
from edgehar.config.words import toml
from edgehar.errors import ConfigError
from edgehar.nearest import nearest
from edgehar_training import models
from edgehar_training.settings import AugmentSettings, FitSettings, NetworkSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgehar.config.settings import Setting, Struct
    from edgehar_training.runs.run import RunConfig

Value: TypeAlias = bool | int | float | str
# Tables whose settings may be searched. The others decide which clips are tested, or do not change a network.
_TABLES: dict[str, Struct] = {"network": NetworkSettings, "fit": FitSettings, "augment": AugmentSettings}
_OPTIONS = "options"
_NUMBERS = (shapes.IntType, shapes.FloatType)


@dataclass(frozen=True)
class Choice:
    """A list of values."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        low: smallest value.
        high: largest value.
        whole: whether only whole numbers are tried.
        log: whether each factor is tried as often as the next, instead of each difference.
        step: distance of the values, from `low` on; None for all.
    """

    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class Parameter:
    """A setting to search.

    Attributes:
        key: its path, such as `fit.learning_rate` or `network.options.units`.
        domain: its values.
    """

    key: str
    domain: Choice | Range

    def holds(self, value: object) -> bool:
        """Return whether a value is one of these."""
        if isinstance(self.domain, Choice):
            return value in self.domain.values
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        steps = 0.0 if self.domain.step is None else (value - self.domain.low) / self.domain.step
        return self.domain.low <= value <= self.domain.high and abs(steps - round(steps)) < 1e-9


class _RangeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A range as it is written."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None


@dataclass(frozen=True)
class Space:
    """The settings to search."""

    parameters: tuple[Parameter, ...]

    def applied(self, config: RunConfig, values: dict[str, Value]) -> RunConfig:
        """Return settings with these values, by path.

        Raises:
            ConfigError: they do not fit each other.
        """
        for parameter in self.parameters:
            config = _with(config, parameter.key, values[parameter.key])
        models.check(config.network)
        return config

    def own(self, config: RunConfig) -> dict[str, Value] | None:
        """Return the values that the settings have themselves; None if one of them is not in the space."""
        values: dict[str, Any] = {}
        options = models.check(config.network)
        for parameter in self.parameters:
            group, *rest = parameter.key.split(".")
            found: Any = getattr(config, group)
            for name in rest:
                # An option that is not given has the default of its network.
                found = options if name == _OPTIONS else getattr(found, name)
            if not parameter.holds(found):
                return None
            values[parameter.key] = found
        return values


def read_space(path: Path, config: RunConfig) -> Space:
    """Read a space, and check that each of its values is valid in these settings.

    Raises:
        ConfigError: the file cannot be read, or a table, setting or value is invalid.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"--space {path}: {error}") from None
    try:
        parameters = tuple(_parameters(tables))
        if not parameters:
            raise ConfigError("holds no setting; write, for example, [fit] and learning_rate = [0.001, 0.01]")
        for parameter in parameters:
            _check_ends(config, parameter)
    except ConfigError as error:
        raise ConfigError(f"--space {path}: {error}") from None
    return Space(parameters)


def _parameters(tables: dict[str, Any]) -> Iterator[Parameter]:
    for group, content in tables.items():
        if group not in _TABLES or not isinstance(content, dict):
            known = "[network], [network.options], [fit] and [augment]"
            raise ConfigError(f"{group} cannot be searched; a space has the tables {known}")
        settings = settings_of(_TABLES[group])
        for name, given in content.items():
            if group == "network" and name == _OPTIONS and isinstance(given, dict):
                for option, values in given.items():
                    yield Parameter(f"network.{_OPTIONS}.{option}", _domain(f"{_OPTIONS}.{option}", values, None))
                continue
            if name not in settings:
                near = nearest(name, settings)
                hint = f"; did you mean {near}?" if near else f"; it has {', '.join(settings)}"
                raise ConfigError(f"[{group}] has no setting {name!r}{hint}")
            if (group, name) == ("fit", "epochs"):
                raise ConfigError("fit.epochs is the length of a trial; set it in the recipe")
            yield Parameter(f"{group}.{name}", _domain(f"{group}.{name}", given, settings[name]))


def _domain(key: str, given: Any, setting: Setting | None) -> Choice | Range:
    """Return the values of a setting; `setting` is None for an option of a network."""
    if isinstance(given, list) and given:
        if not all(isinstance(value, Value) for value in given):
            raise ConfigError(f"{key}: the values of a list are numbers, texts, true or false")
        return Choice(tuple(dict.fromkeys(given)))
    if not isinstance(given, dict):
        raise ConfigError(f"{key} is {toml(given)}; give a list of values, or {{ low = ..., high = ... }}")
    if setting is not None and not isinstance(setting.shape, _NUMBERS):
        raise ConfigError(f"{key} is not a number; give a list of values")
    try:
        table = msgspec.convert(given, _RangeTable)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{key}: {error}; a range is {{ low = ..., high = ..., log = true, step = ... }}") from None
    ends = (table.low, table.high, table.step)
    whole = all(end is None or isinstance(end, int) for end in ends)
    if setting is not None:
        if isinstance(setting.shape, shapes.IntType) and not whole:
            raise ConfigError(f"{key} takes whole numbers; low, high and step must be whole")
        whole = isinstance(setting.shape, shapes.IntType)
    if table.low >= table.high:
        raise ConfigError(f"{key}: low must be less than high")
    if table.log and (table.low <= 0 or table.step is not None):
        raise ConfigError(f"{key}: log needs a low above 0, and no step")
    if table.step is not None and table.step <= 0:
        raise ConfigError(f"{key}: step must be above 0")
    return Range(table.low, table.high, whole, table.log, table.step)


def _check_ends(config: RunConfig, parameter: Parameter) -> None:
    domain = parameter.domain
    for value in domain.values if isinstance(domain, Choice) else (domain.low, domain.high):
        changed = _with(config, parameter.key, value)
        if parameter.key.startswith(f"network.{_OPTIONS}."):
            models.check(changed.network)


def _with(config: RunConfig, key: str, value: Value) -> RunConfig:
    """Return settings with another value of one setting. Raises ConfigError if it is not valid."""
    group, name = key.split(".", 1)
    struct = getattr(config, group)
    if name.startswith(f"{_OPTIONS}."):
        options = {**struct.options, name.removeprefix(f"{_OPTIONS}."): value}
        return msgspec.structs.replace(config, **{group: msgspec.structs.replace(struct, options=options)})
    setting = settings_of(_TABLES[group])[name]
    try:
        converted = msgspec.convert(value, setting.kind)
    except msgspec.ValidationError:
        raise ConfigError(f"{key} has the value {toml(value)}; it must be {setting.words}") from None
    return msgspec.structs.replace(config, **{group: msgspec.structs.replace(struct, **{name: converted})})


def words_of(values: dict[str, Any]) -> str:
    """Return settings in words, for people."""
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )
