"""Reads the configuration: a TOML file, overridden by environment variables, overridden by the command line."""

from __future__ import annotations

import logging
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar.config.environment import layers_of, number_problem
from edgehar.config.layers import Given, Layer, build, lay_upon
from edgehar.config.options import Config
from edgehar.config.settings import settings_of
from edgehar.config.words import dotted
from edgehar.credentials import Secret, without_credentials
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgehar.config.settings import Setting

_log = logging.getLogger(__name__)

COMMAND_LINE = "the command line"
MACHINE_CONFIG = Path("/etc/edgehar/config.toml")
# StateDirectory= of the systemd unit.
SERVICE_STATE = Path("/var/lib/edgehar")
AUTO = "auto"
_LARGEST_FILE = 1_000_000


@dataclass(frozen=True)
class Loaded:
    """A configuration and its origins.

    Attributes:
        config: the configuration.
        given: tree of tables with a `Given` for each value that was set; all others are defaults.
        warnings: settings that are allowed but unwise, one line each.
    """

    config: Config
    given: dict[Any, Any]
    warnings: list[str]


class ConfigProblemsError(ConfigError):
    """The configuration has one or more problems.

    Attributes:
        problems: one line each.
        valid: the configuration of its valid values, for further checks; None if there is none.
    """

    def __init__(self, problems: list[str], valid: Config | None = None) -> None:
        self.problems, self.valid = problems, valid
        more = len(problems) - 1
        rest = f" (and {more} more: edgehar config check shows all)" if more else ""
        super().__init__(problems[0] + rest)


def load(
    path: Path | None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Config:
    """Read the configuration, and log settings that are allowed but unwise.

    Args:
        path: the TOML file, or None. Relative paths in it start at its folder.
        environ: environment variables; only names that start with `EDGEHAR_` are used.
        overrides: the command line, as nested dicts like those of the file, with values or `Text`; None is not set. A
            dict for `camera`, in place of a list of tables, changes every camera; with a `source` it is the only
            camera. `model`, `hop` and `decision.threshold` apply to every camera, over its own table in the file.

    Raises:
        ConfigError: there is a problem; the message names the file, variable or option, the key, and valid values.
    """
    loaded = read(path, environ, overrides)
    for warning in loaded.warnings:
        _log.warning("%s", warning)
    return loaded.config


def read(
    path: Path | None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    content: bytes | None = None,
) -> Loaded:
    """Read the configuration with the origin of every value.

    The arguments are those of `load`, and `content` to check in place of the file's. Raises ConfigProblemsError with
    all problems.
    """
    problems: list[str] = []
    tree: dict[Any, Any] = {}
    if path is not None:
        layer = Layer(str(path), problems, lambda setting, value: _from_folder(path.absolute().parent, setting, value))
        tree = layer.check(Config, _read_toml(path, content))
    for changes in layers_of(Config, environ or {}, problems):
        tree = _lay_environment(tree, changes, problems)
    command_line = Layer(COMMAND_LINE, problems, changes_tables=True)
    tree = lay_upon(Config, tree, command_line.check(Config, _for_cameras(_without_none(overrides or {}))))
    missing: list[str] = []
    config = build(Config, tree, missing)
    problems += [f"{path}: {problem}" if path else problem for problem in missing if not _explained(problem, problems)]
    if problems:
        raise ConfigProblemsError(list(dict.fromkeys(problems)), config)
    if path == MACHINE_CONFIG:
        config = with_service_state(config, os.environ)
    return Loaded(config, tree, [] if path is None else _warnings(path, tree))


def with_service_state(config: Config, environ: Mapping[str, str], folder: Path = SERVICE_STATE) -> Config:
    """Return the machine's configuration with the service's state folder, if this user may write to it.

    So that `sudo edgehar history` and others read what the service has written, not the home folder of root. Variables
    and `[spool] directory` have precedence, as in `state_directory`.
    """
    chosen = config.spool.directory or environ.get("STATE_DIRECTORY") or environ.get("XDG_STATE_HOME")
    if chosen or not os.access(folder, os.W_OK | os.X_OK):
        return config
    return msgspec.structs.replace(config, spool=msgspec.structs.replace(config.spool, directory=str(folder)))


def find_config(name: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file of `--config NAME`; `auto` is the first of `search_path`. Raises ConfigError if there is none."""
    if name is None:
        return None
    if name != AUTO:
        return Path(name)
    candidates = search_path(environ)
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        looked = " or ".join(map(str, candidates))
        raise ConfigError(f"there is no {looked}; create one with edgehar config init, or name a file")
    return found


def search_path(environ: Mapping[str, str]) -> list[Path]:
    """Return where a configuration is looked for: the user's file, then the machine's."""
    home = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if Path(home).is_absolute() else Path(environ.get("HOME", "/")) / ".config"
    return [folder / "edgehar" / "config.toml", MACHINE_CONFIG]


def _read_toml(path: Path, content: bytes | None = None) -> dict[str, Any]:
    try:
        if content is None:
            with path.open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise ConfigProblemsError([f"{path}: is larger than 1 MB, so it is not a configuration; name another file"])
        # Windows editors put a byte order mark before the text, which TOML does not allow.
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        advice = "create one with edgehar config init" if isinstance(error, FileNotFoundError) else "name another file"
        raise ConfigProblemsError([f"{path}: {error.strerror}; {advice}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigProblemsError([f"{path}: is not UTF-8 text, at byte {error.start}; save it as UTF-8"]) from error
    except RecursionError as error:
        raise ConfigProblemsError([f"{path}: brackets within brackets, too deep"]) from error
    except ValueError as error:
        # TOMLDecodeError, and the plain ValueError of numbers with thousands of digits.
        raise ConfigProblemsError([f"{path}: is not TOML: {' '.join(str(error).split())}"]) from error


def _lay_environment(tree: dict[Any, Any], changes: dict[Any, Any], problems: list[str]) -> dict[Any, Any]:
    counts = {name: len(tree.get(name) or [{}]) for name, setting in settings_of(Config).items() if setting.many}
    problem = number_problem(changes, counts)
    if problem:
        problems.append(f"{next(_values(changes))[1].origin}: {problem}")
        return tree
    return lay_upon(Config, tree, changes)


def _without_none(overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in overrides.items()
        if value is not None
    }


def _for_cameras(overrides: dict[str, Any]) -> dict[str, Any]:
    """Return the command line with its common settings repeated for every camera, and a source as the only camera."""
    camera, decision = overrides.get("camera", {}), overrides.get("decision", {})
    if not isinstance(camera, dict) or not isinstance(decision, dict):
        return overrides
    common: dict[str, Any] = {name: overrides[name] for name in ("model", "hop") if name in overrides}
    if "threshold" in decision:
        common["threshold"] = decision["threshold"]
    if "source" in camera:
        return {**overrides, "camera": [camera]}
    return {**overrides, "camera": {**common, **camera}} if common or camera else overrides


def _from_folder(folder: Path, setting: Setting, value: Any) -> Any:
    """Return a path relative to the configuration file's folder; any other value unchanged."""
    if not setting.is_path(value):
        return value
    return str(folder / os.path.expanduser(value))  # noqa: PTH111 - pathlib's raises where there is no home


def _values(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Given]]:
    if isinstance(tree, Given):
        yield path, tree
    else:
        for name, inner in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _values(inner, (*path, name))


def _warnings(path: Path, tree: dict[Any, Any]) -> list[str]:
    """Return a line for each secret that other users can read."""
    warnings = []
    for where, given in _values(tree):
        if given.origin == str(path) and _holds_secret(given.value) and _others_read(path):
            warnings.append(f"{path}: holds {dotted(where)} and can be read by other users; run: chmod o-rwx {path}")
        elif given.is_secret_file and _others_read(Path(given.value)):
            warnings.append(f"{given.value}: can be read by other users; run: chmod o-rwx {given.value}")
    return warnings


def _holds_secret(value: Any) -> bool:
    if isinstance(value, Secret):
        return True
    return isinstance(value, str) and "@" in value and "://" in value and without_credentials(value) != value


def _explained(problem: str, problems: list[str]) -> bool:
    """Return whether a missing value is missing because the value given for it is invalid."""
    name = problem.rpartition("]: ")[2].partition(" is missing; ")[0]
    return " is missing; " in problem and any(name in other for other in problems)


def _others_read(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o007)
    except OSError:
        return False
