"""Rules of decision as words of a command line: `key=value`, or a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar.errors import ConfigError
from edgehar.model.manifest import Decision
from edgehar.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEYS = tuple(name for name in Decision.__struct_fields__ if name != "background")


def parse_rules(words: Sequence[str], base: Decision, *, option: str = "--decision") -> Decision:
    """Return `base` changed by words: `key=value`, `thresholds.LABEL=value`, or the path of a TOML file.

    A file holds the keys at its top or in a table `[decision]`. Later words override earlier ones. A `threshold`
    removes the `thresholds` of `base`.

    Args:
        words: as on the command line.
        base: what holds where no word says otherwise.
        option: name of the option, for messages.

    Raises:
        ConfigError: a word is neither, a key is unknown, or a value is out of range.
    """
    if not words:
        return base
    given: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        pairs = {key: value} if equals else _read_file(word, option)
        for name, setting in pairs.items():
            _take(given, name, setting, option)
    kept = {} if "threshold" in given else base.thresholds
    thresholds = {**kept, **given.pop("thresholds", {})}
    everything = {**msgspec.structs.asdict(base), **given, "thresholds": thresholds}
    try:
        return msgspec.convert(everything, Decision, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{option}: {error}") from error


def _take(given: dict[str, Any], name: str, value: Any, option: str) -> None:
    key, _, label = name.partition(".")
    if key not in _KEYS or bool(label) != (key == "thresholds" and not isinstance(value, dict)):
        near = nearest(key, _KEYS)
        hint = "give thresholds.LABEL=VALUE" if key == "thresholds" else f"the keys are {', '.join(_KEYS)}"
        advice = hint if near in ("", key) else f"did you mean {near}?"
        raise ConfigError(f"{option} {name}: unknown key; {advice}")
    if label:
        given.setdefault("thresholds", {})[label] = value
    elif value == "":
        raise ConfigError(f"{option} {name}=: has no value; write {name}=VALUE")
    else:
        given[key] = value


def _read_file(word: str, option: str) -> dict[str, Any]:
    path = Path(word)
    if path.suffix != ".toml":
        raise ConfigError(f"{option} {word}: must be KEY=VALUE, such as smoothing=k-of-n, or a .toml file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{option} {path}: cannot be read: {reason}") from error
    inner = table.get("decision", table)
    if not isinstance(inner, dict):
        raise ConfigError(f"{option} {path}: decision must be a table")
    return inner
