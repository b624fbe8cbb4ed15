"""The files of a batch: given one by one, as folders, or in a list."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgehar.batch.stores import is_stored, list_stored
from edgehar.errors import ConfigError
from edgehar.sources.address import VIDEO_SUFFIXES, name_of, normalized, scheme_of

# Sources that never end, or cannot be read twice.
_LIVE = {"camera": "a camera", "picamera2": "a camera", "stdin": "standard input", "rtsp": "live", "rtsps": "live"}


@dataclass(frozen=True)
class BatchFile:
    """A file to classify.

    Attributes:
        name: its name in the results, as it was given.
        address: what `open_source` takes, wherever the worker runs: an absolute path, or an address; or an object of
            a store.
        stored: for an object of a store, a text that changes with its content.
    """

    name: str
    address: str
    stored: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether it is a path that does not exist on this machine."""
        return self.address.startswith("/") and not Path(self.address).exists()

    @property
    def stamp(self) -> str:
        """Size in bytes and time of the last change, or `stored`; empty if neither is known."""
        if self.stored or not self.address.startswith("/"):
            return self.stored
        try:
            found = Path(self.address).stat()
        except OSError:
            return ""
        return f"{found.st_size} {found.st_mtime_ns}"


def list_files(given: list[str]) -> list[BatchFile]:
    """Return all files, each once, in the order given; those of a folder are sorted by path.

    Args:
        given: video files, folders (searched for video files at any depth), objects and prefixes of a store
            (`s3://bucket/prefix`), `@FILE` (a text file with one of these a line), or other finite sources that
            `open_source` takes.

    Raises:
        ConfigError: a folder or list is empty, a list does not exist, or a source is live.
    """
    found: dict[str, BatchFile] = {}
    for one in given:
        for source in _expanded(one, ()):
            if is_stored(source):
                for url, stamp in list_stored(source).items():
                    found.setdefault(url, BatchFile(url, url, stamp))
                continue
            name, is_path = name_of(source), scheme_of(source) in ("file", "images") and "://" not in source
            found.setdefault(name, BatchFile(name, os.path.abspath(source) if is_path else source))  # noqa: PTH100
    return list(found.values())


def _expanded(source: str, lists: tuple[Path, ...]) -> list[str]:
    """Return the files of a source that is named in lists, the innermost last."""
    if source.startswith("@") and not Path(source).exists():
        path = Path(source[1:])
        if path.resolve() in lists:
            raise ConfigError(f"{path}: lists itself; remove {source} from it")
        within = (*lists, path.resolve())
        return [found for line in _lines(path) for found in _expanded(line, within)]
    if is_stored(source):
        return [source]
    path = Path(source)
    if path.is_dir():
        return _videos(path)
    source = normalized(source)
    scheme = scheme_of(source)
    if scheme in _LIVE:
        raise ConfigError(f"{name_of(source)}: is {_LIVE[scheme]}; batch classifies files, edgehar-run live sources")
    return [source]


def _lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()]
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; @FILE names a text file with one source a line") from None
    if not (lines := [line for line in lines if line and not line.startswith("#")]):
        raise ConfigError(f"{path}: lists no file")
    return lines


def _videos(folder: Path) -> list[str]:
    found = []
    for where, _, names in os.walk(folder):
        found += [Path(where) / name for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES]
    if not found:
        raise ConfigError(f"{folder}: holds no video file; name the files, or another folder")
    return [str(path) for path in sorted(found)]
