"""Change the configuration file: comments stay, the result is checked first, and the last change can be undone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as shapes

from edgehar.config.changes import diff
from edgehar.config.checks import problems_here
from edgehar.config.loading import COMMAND_LINE, ConfigProblemsError, read
from edgehar.config.options import DEFAULT_SOURCE, Config
from edgehar.config.settings import plain_settings, settings_of, tables_of
from edgehar.config.words import dotted, toml
from edgehar.credentials import Secret
from edgehar.errors import ConfigError
from edgehar.files import put_in_place
from edgehar.web.answers import SettingInfo, SettingsInfo, SettingsResult, SettingsTable
from edgehar.web.services import ChangedMeanwhileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from edgehar.config.loading import Loaded
    from edgehar.config.settings import Setting
    from edgehar.web.services import SettingChange

# Tables that say how the program connects, listens, and where it writes. A visitor of the pages must not change them.
_FIXED_TABLES = frozenset({"web", "mqtt", "webhook", "upload", "file", "spool", "health", "models"})
# Likewise who may open recordings, and whether a camera must prove who it is.
_FIXED_SETTINGS = frozenset({"seal_to", "tls_verify"})
_NUMBERS = shapes.IntType | shapes.FloatType


class ConfigFile:
    """The configuration of a run, as the pages show and change it. Thread-safe."""

    def __init__(
        self, path: Path | None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
    ) -> None:
        """Use a file.

        Args:
            path: the TOML file; None if there is none.
            environ: as for `edgehar.config.load`.
            overrides: as for `edgehar.config.load`.
        """
        self._path = None if path is None else path.resolve()
        self._environ, self._overrides = environ, overrides
        self._lock = threading.Lock()

    def settings(self) -> SettingsInfo:
        """Return every setting with its origin.

        Raises:
            ConfigError: the file cannot be read.
        """
        with self._lock:
            content = self._content()
            loaded = self._read(content)
            tables = list(_tables(Config, loaded.config, loaded.given, (), editable=self._path is not None))
            can_undo = self._path is not None and self._earlier().exists()
            return SettingsInfo(None if self._path is None else str(self._path), _digest(content), can_undo, tables)

    def change(self, changes: Sequence[SettingChange], version: str) -> SettingsResult:
        """Change settings, all or none.

        Args:
            changes: the settings and their new values; None removes one from the file.
            version: of the file that the changes were made for.

        Raises:
            ChangedMeanwhileError: the file has changed since then.
            ConfigError: a setting cannot be changed here, or the result would not be valid; the file is as before.
            OSError: the file cannot be written; it is as before.
        """
        if self._path is None:
            raise ConfigError("there is no configuration file to change; start with --config FILE")
        with self._lock:
            before = self._content()
            if version != _digest(before):
                raise ChangedMeanwhileError("the configuration file has changed meanwhile; load the page again")
            loaded = self._read(before)
            return self._write(before, loaded, _changed(before, changes, loaded))

    def undo(self) -> SettingsResult:
        """Go back to the version before the last change; another undo returns.

        Raises:
            ConfigError: there is no earlier version, or it is not valid any more.
            OSError: the file cannot be written; it is as before.
        """
        with self._lock:
            if self._path is None or not self._earlier().exists():
                raise ConfigError("there is no earlier version of the configuration file")
            before = self._content()
            return self._write(before, self._read(before), self._earlier().read_bytes())

    def _write(self, before: bytes, loaded: Loaded, after: bytes) -> SettingsResult:
        assert self._path is not None
        if after == before:
            # Keep the earlier version.
            return SettingsResult(_digest(after), [], [])
        new = self._read(after)
        known = set(problems_here(loaded.config))
        problems = [problem for problem in problems_here(new.config) if problem not in known]
        if problems:
            raise ConfigProblemsError(problems)
        _replace(self._earlier(), before, self._path)
        _replace(self._path, after, self._path)
        changes = diff(loaded.config, new.config)
        restart = [change.section for change in changes if not change.live]
        return SettingsResult(_digest(after), [change.section for change in changes], restart)

    def _content(self) -> bytes:
        if self._path is None:
            return b""
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read: {error.strerror}") from None

    def _read(self, content: bytes) -> Loaded:
        return read(self._path, self._environ, self._overrides, content=None if self._path is None else content)

    def _earlier(self) -> Path:
        assert self._path is not None
        return self._path.with_name(f".{self._path.name}.previous")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _replace(path: Path, content: bytes, like: Path) -> None:
    """Write a file completely or not at all, with the mode and owner of another; OSError if that fails."""
    status = like.stat()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), status.st_mode & 0o777)
            # Only root may give files away; other users own the file already, or get their own copy.
            with contextlib.suppress(PermissionError):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _changed(before: bytes, changes: Sequence[SettingChange], loaded: Loaded) -> bytes:
    """Return the text of the file with the changes; ConfigError if one cannot be made here."""
    import tomlkit

    try:
        document: Any = tomlkit.parse(before.decode("utf-8-sig"))
    except (ValueError, tomlkit.exceptions.TOMLKitError) as error:
        raise ConfigError(f"the configuration file cannot be changed here ({error}); edit it") from None
    for change in changes:
        *tables, name = change.path
        setting = _setting_at(change.path)
        if setting is None or not _may_change(setting, change.path, _given_at(loaded.given, change.path)):
            raise ConfigError(f"{dotted(tuple(change.path))}: cannot be changed here; edit the configuration file")
        place = _table_at(document, tables, create=change.value is not None)
        if change.value is not None:
            place[name] = _item(change.value)
        elif place is not None and name in place:
            del place[name]
    return bytes(tomlkit.dumps(document).encode())


def _table_at(document: Any, tables: Sequence[str | int], *, create: bool) -> Any:
    import tomlkit

    place = document
    for part, following in zip(tables, [*tables[1:], None], strict=False):
        if isinstance(part, int):
            if part >= len(place):
                raise ConfigError(f"camera[{part}] is not in the file; add a [[camera]] table to it")
            place = place[part]
            continue
        if part not in place:
            if not create:
                return None
            place[part] = _first_table() if isinstance(following, int) else tomlkit.table()
        place = place[part]
    return place


def _first_table() -> Any:
    """Return an array of tables with the camera that is watched without a file."""
    import tomlkit

    tables, table = tomlkit.aot(), tomlkit.table()
    table["source"] = DEFAULT_SOURCE
    tables.append(table)
    return tables


def _item(value: Any) -> Any:
    import tomlkit

    if not isinstance(value, dict):
        return tomlkit.item(value)
    table = tomlkit.inline_table()
    table.update(value)
    return table


def _setting_at(path: Sequence[str | int]) -> Setting | None:
    struct: Any = Config
    setting: Setting | None = None
    number_due = False
    for part in path:
        if isinstance(part, int) != number_due or (isinstance(part, int) and part < 0):
            return None
        if isinstance(part, int):
            number_due = False
            continue
        setting = None if struct is None else settings_of(struct).get(part)
        if setting is None:
            return None
        struct, number_due = setting.table, setting.many
    return setting if struct is None else None


def _given_at(given: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        try:
            given = given[part]
        except (KeyError, IndexError, TypeError):
            return None
    return given


def _may_change(setting: Setting, path: Sequence[str | int], given: Any) -> bool:
    """Return whether a setting may be changed on the pages: not where it connects or writes, and not what overrides."""
    if path[0] in _FIXED_TABLES or setting.secret or setting.path is not False or setting.name in _FIXED_SETTINGS:
        return False
    if given is not None and _overridden(given.origin):
        return False
    return _kind(setting) != "other" or setting.name in ("masks", "region", "thresholds")


def _overridden(origin: str) -> bool:
    return origin == COMMAND_LINE or origin.startswith(("--", "EDGEHAR_"))


def _kind(setting: Setting) -> Any:
    match setting.shape:
        case shapes.BoolType():
            return "boolean"
        case shapes.IntType():
            return "integer"
        case shapes.FloatType():
            return "number"
        case shapes.LiteralType(values=values) if all(isinstance(value, str) for value in values):
            return "choice"
        case shapes.ListType(item_type=shapes.StrType()):
            return "texts"
    return "other"


def _tables(
    struct: Any, values: Any, given: Any, path: tuple[str | int, ...], *, editable: bool
) -> Iterator[SettingsTable]:
    """Yield a table's settings, then those of its tables."""
    # Cameras of the command line or of a variable are not those of the file.
    source = _given_at(given, ["source"]) if path[:1] == ("camera",) else None
    editable = editable and (source is None or not _overridden(source.origin))
    rows = [
        _info(setting, getattr(values, setting.field), _given_at(given, [name]), (*path, name), editable=editable)
        for name, setting in plain_settings(struct).items()
    ]
    name = getattr(values, "name", None) or "" if path[:1] == ("camera",) else ""
    title = "" if not path else f"[[camera]] {name}".strip() if path[0] == "camera" else f"[{dotted(path)}]"
    yield SettingsTable(title, "", rows)
    for name, setting in tables_of(struct).items():
        inner, below = getattr(values, setting.field), _given_at(given, [name])
        if inner is None:
            continue
        for number, table in enumerate(inner if setting.many else [inner]):
            where = (*path, name, number) if setting.many else (*path, name)
            inside = _given_at(below, [number]) if setting.many else below
            for found in _tables(setting.table, table, inside, where, editable=editable):
                yield (
                    msgspec.structs.replace(found, description=setting.description) if not found.description else found
                )


def _info(setting: Setting, value: Any, given: Any, path: tuple[str | int, ...], *, editable: bool) -> SettingInfo:
    shape, default = setting.shape, setting.default
    bounds = shape if isinstance(shape, _NUMBERS) else None
    choices = list(shape.values) if isinstance(shape, shapes.LiteralType) else []
    return SettingInfo(
        path=list(path),
        description=setting.description,
        words=setting.words,
        value=_shown(value),
        default=None if default is msgspec.NODEFAULT else _shown(default),
        origin="default" if given is None else given.origin,
        editable=editable and _may_change(setting, path, given),
        kind=_kind(setting),
        choices=[str(choice) for choice in choices],
        least=None if bounds is None else bounds.ge if bounds.ge is not None else bounds.gt,
        most=None if bounds is None else bounds.le if bounds.le is not None else bounds.lt,
    )


def _shown(value: Any) -> Any:
    """Return a value as JSON, without passwords."""
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, str):
        return toml(value)[1:-1]
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _shown(item) for name, item in value.items()}
    return value
