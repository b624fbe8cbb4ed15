"""Checks a recording folder against its ledger: which recordings were removed, altered, added or reordered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.recording.seal import SUFFIX
from edgehar.recording.sidecar import LABEL_SUFFIX
from edgehar.recording.store import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgehar.recording.chain import Line
    from edgehar.recording.store import Archive

_ZERO = "0" * 64


def problems(archive: Archive, head: str | None = None) -> Iterator[str]:
    """Check every file and every link of the chain; give a line of text for each problem.

    Args:
        archive: the folder.
        head: SHA-256 of a line of the ledger that was noted earlier, elsewhere; None to not compare.
    """
    yield from _ledger_problems(archive, head)
    there = archive.chain.recordings()
    for line in there.values():
        yield from _file_problems(archive, line)
    yield from _link_problems(archive, there)
    known = {path for line in there.values() for path in archive.files_of(line)}
    known |= {archive.folder / (line.path + LABEL_SUFFIX) for line in there.values()}
    for path in sorted(archive.folder.glob("*/*/*")):
        if not path.name.startswith(".") and path not in known and not _is_in_progress(path):
            yield f"{path.relative_to(archive.folder)}: not on the chain; it was added or renamed"


def _is_in_progress(path: Path) -> bool:
    """Whether a file belongs to a recording that is being written, or that the next start recovers."""
    name = path.name.removesuffix(SUFFIX).rpartition(".")[0]
    return any(path.with_name(f".{name}.json{suffix}.part").exists() for suffix in ("", SUFFIX))


def _ledger_problems(archive: Archive, head: str | None) -> Iterator[str]:
    name, previous, seen = archive.chain.path.name, _ZERO, set()
    number = 0
    for place, line, digest in archive.chain.lines():
        if line is None:
            yield f"{name}: line {place} cannot be read; it was altered"
        elif line.previous != previous:
            yield f"{name}: line {place} does not follow the line before it; lines were altered, removed or reordered"
        elif line.number != number + 1:
            yield f"{name}: line {place} has number {line.number}, not {number + 1}; lines were removed or reordered"
        number = place if line is None else line.number
        previous = digest
        seen.add(digest)
    if head is not None and head.lower() not in seen:
        yield f"{name}: has no line with the hash {head}; it was cut short or rewritten after that hash was noted"


def _file_problems(archive: Archive, line: Line) -> Iterator[str]:
    for suffix, expected in line.files.items():
        path = archive.folder / (line.path + suffix)
        try:
            digest = sha256_of(path)
        except FileNotFoundError:
            yield f"{line.path}{suffix}: missing; it was removed"
        except OSError as error:
            yield f"{line.path}{suffix}: cannot be read: {error.strerror}"
        else:
            if digest != expected:
                yield f"{line.path}{suffix}: altered; its hash differs from the one on the chain"


def _link_problems(archive: Archive, there: dict[str, Line]) -> Iterator[str]:
    """Compare each sidecar that is there with its clip, its picture and the sidecar before it."""
    previous: str | None = None
    for _, line, _ in archive.chain.lines():
        if line is None or line.kind != "clip" or not any(name.startswith(".json") for name in line.files):
            continue
        sidecar = archive.sidecar_of(line) if line.path in there else None
        if sidecar is not None:
            if sidecar.previous_sha256 != previous:
                yield f"{line.path}.json: does not name the sidecar before it; recordings were reordered or removed"
            for part, suffix in ((sidecar.clip, ".mp4"), (sidecar.picture, ".jpg")):
                if part is not None and part.sha256 != line.files.get(suffix):
                    yield f"{line.path}{suffix}: its hash differs from the one in the sidecar"
        previous = line.files.get(".json", line.files.get(f".json{SUFFIX}"))
