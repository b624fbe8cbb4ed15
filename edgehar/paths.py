"""Types of settings that are paths. `edgehar.config` reads what is special about them from their metadata.

A relative path in a configuration file starts at the folder of that file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

# A file or folder to write to.
OutputPath = Annotated[str, Meta(min_length=1, extra={"path": True})]
# A file to read: it must exist when the configuration is checked.
InputFile = Annotated[str, Meta(min_length=1, extra={"path": True, "input": True})]
# A file to read that holds a password, token or key: other users should not be able to read it.
SecretFile = Annotated[str, Meta(min_length=1, extra={"path": True, "input": True, "secret": True})]


def _is_path_of_source(value: str) -> bool:
    return ":" not in value


def _is_path_of_model(value: str) -> bool:
    return "/" in value or value.endswith(".edgehar")


# A source: a path, unless it has a scheme, as `camera:0` has.
SourceText = Annotated[str, Meta(min_length=1, extra={"path": _is_path_of_source})]
# A model: a path, unless it is the name of a shipped model.
ModelText = Annotated[str, Meta(min_length=1, extra={"path": _is_path_of_model})]


def home_folder() -> Path:
    """Return the user's home; `/` if there is none, as for the dynamic user of a service without libnss-systemd."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")
