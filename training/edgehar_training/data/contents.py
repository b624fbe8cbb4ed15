"""The content of a source as one word, which depends on the bytes of its files and not on their place."""

from __future__ import annotations

import glob
import hashlib
import json
from pathlib import Path

from edgehar._version import __version__

LIST_FILE = "contents.txt"


class Contents:
    """SHA-256 of files, each read once: a list in the cache folder remembers files by path, size and time.

    A copied or moved file is read again, and found to be the same. Several programs may add to the list; a line that
    was cut off is as if it were not there.

    Args:
        folder: folder of the list; created if needed.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LIST_FILE
        self._known: dict[str, str] | None = None

    def known(self, path: str) -> str | None:
        """Return the word of a source. Returns None if that takes reading a file."""
        files = _files(path)
        if files is None:
            return path_word(path)
        words = [self._look_up(file) for file in files]
        return None if None in words else _joined(files, [word for word in words if word is not None])

    def word(self, path: str) -> str:
        """Return the word of a source; reads its files if needed.

        Raises:
            OSError: a file cannot be read.
        """
        files = _files(path)
        if files is None:
            return path_word(path)
        return _joined(files, [self._look_up(file) or self._read(file) for file in files])

    def _look_up(self, file: Path) -> str | None:
        if self._known is None:
            self._known = {}
            if self._path.exists():
                for line in self._path.read_text(encoding="ascii", errors="replace").splitlines():
                    parts = line.split(" ")
                    if len(parts) == 2 and [len(part) for part in parts] == [32, 64]:
                        self._known[parts[0]] = parts[1]
        return self._known.get(_place(file))

    def _read(self, file: Path) -> str:
        place = _place(file)
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Appended in one write, so that lines of several programs do not mix.
        with self._path.open("a", encoding="ascii") as known:
            known.write(f"{place} {digest}\n")
        if self._known is not None:
            self._known[place] = digest
        return digest


def path_word(path: str) -> str:
    """Return the word of a source that is not a file. It may change with the version, because code makes the source."""
    return hashlib.sha256(json.dumps([path, __version__]).encode()).hexdigest()


def _files(path: str) -> list[Path] | None:
    """Return the file of a path, or the files of a folder or pattern of images. Returns None for other sources."""
    place = Path(path.removeprefix("images:").removeprefix("file:"))
    if place.is_file():
        return [place]
    if place.is_dir():
        return sorted(file for file in place.iterdir() if file.is_file())
    return sorted(Path(match) for match in glob.glob(str(place)) if Path(match).is_file()) or None  # noqa: PTH207


def _joined(files: list[Path], words: list[str]) -> str:
    if len(words) == 1:
        return words[0]
    named = [[file.name, word] for file, word in zip(files, words, strict=True)]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def _place(file: Path) -> str:
    status = file.stat()
    identity = [str(file.resolve()), status.st_size, status.st_mtime_ns]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
