"""Settings that an operator pushes: checked, written into the configuration file, and applied while it runs."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from edgehar.config.pushed import read_settings
from edgehar.errors import ConfigError, EdgeharError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.web.services import SettingsFile


class FleetSettings:
    """Changes the configuration file of a running program, and has the program apply it."""

    def __init__(self, file: SettingsFile, apply: Callable[[], object]) -> None:
        """Use a file.

        Args:
            file: the configuration file.
            apply: has the program read the file again; returns when it is in force, and raises EdgeharError if it
                cannot be.
        """
        self._file, self._apply = file, apply

    def change(self, text: str) -> str:
        """Put settings in force, given as TOML.

        Returns:
            The version of the configuration file with them; empty if it had them before.

        Raises:
            ConfigError: they are not valid here, or take a restart; nothing has changed.
            EdgeharError: the program cannot apply them; nothing has changed.
            OSError: the file cannot be written.
        """
        if importlib.util.find_spec("tomlkit") is None:
            raise ConfigError("settings cannot be changed without tomlkit; run: pip install 'edgehar[web]'")
        changes = list(read_settings(text))
        result = self._file.change(changes, self._file.settings().version)
        if not result.changed:
            return ""
        try:
            if result.restart:
                raise ConfigError(f"{', '.join(result.restart)}: a change takes a restart; change it on the device")
            self._apply()
        except EdgeharError:
            self._file.undo()
            raise
        return result.version

    def undo(self, version: str) -> None:
        """Undo a change.

        Args:
            version: what `change` returned.

        Raises:
            ConfigError: the file has changed since then; it stays as it is.
            EdgeharError: the program cannot apply the earlier settings.
            OSError: the file cannot be written.
        """
        if not version:
            return
        if self._file.settings().version != version:
            raise ConfigError("the configuration was changed on the device meanwhile; undo it there")
        self._file.undo()
        self._apply()
