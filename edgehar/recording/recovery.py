"""Recordings out of what a killed program or a power cut left behind."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import msgspec

from edgehar.files import sync_file, sync_folder
from edgehar.printable import counted
from edgehar.recording.seal import SUFFIX
from edgehar.recording.sidecar import Clip, Picture, Sidecar
from edgehar.recording.store import Draft, sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from edgehar.recording.store import Store

_log = logging.getLogger(__name__)

_HEADER = 8
_LARGE_HEADER = 16


def recover(store: Store) -> int:
    """Finish the recordings that an earlier process began; return how many.

    A clip is cut after its last whole fragment. OSError if the disk fails.
    """
    count = 0
    for journal in sorted(store.folder.glob("*/*/.*.part")):
        stem = journal.name.removeprefix(".").removesuffix(".part").removesuffix(SUFFIX)
        if stem.endswith(".json"):
            count += _finish(store, journal, stem.removesuffix(".json"))
    for leftover in (*store.folder.glob("*/*/.*.part"), *store.folder.glob("*/*/.*.new")):
        _log.warning("%s: removed: a file of a recording that had not begun", leftover)
        leftover.unlink(missing_ok=True)
    _remove_leftovers(store)
    if count:
        _log.info("%s: %s of an earlier run recovered", store.folder, counted(count, "recording"))
    return count


def _finish(store: Store, journal: Path, name: str) -> bool:
    sealed = journal.name.removesuffix(".part").endswith(SUFFIX)
    base = f"{journal.parent.relative_to(store.folder)}/{name}"
    if base in store.chain.recordings():
        journal.unlink()
        return False
    files = {suffix: journal.parent / (name + suffix + SUFFIX * sealed) for suffix in (".mp4", ".jpg", ".json")}
    if not files[".json"].exists():
        _finish_clip(files[".mp4"], sealed=sealed)
        if not sealed and not _known(journal) and not any(path.exists() for path in files.values()):
            # Killed before anything was recorded.
            journal.unlink()
            return False
        # The clip has its own name on the disk before the sidecar has, as in `Draft.commit`.
        sync_folder(journal.parent)
        _write_sidecar(store, journal, files, sealed=sealed)
    Draft(store, base, sealed=sealed).log()
    journal.unlink(missing_ok=True)
    return True


def _finish_clip(final: Path, *, sealed: bool) -> None:
    """Give the clip its own name, if there is something to play in it."""
    growing = final.with_name(f".{final.name}.part")
    if not growing.exists():
        return
    if not sealed:
        whole = whole_fragments(growing)
        os.truncate(growing, whole)
    sync_file(growing)
    if growing.stat().st_size:
        growing.rename(final)
    else:
        growing.unlink()


def _write_sidecar(store: Store, journal: Path, files: dict[str, Path], *, sealed: bool) -> None:
    if sealed:
        # Only the holder of the key can read it: it becomes the sidecar as it is. It stays until that is on the chain.
        _replace(files[".json"], journal.read_bytes())
        return
    began = _known(journal)
    clip, picture = files[".mp4"], files[".jpg"]
    facts = {
        "clip": Clip(clip.name, sha256_of(clip), clip.stat().st_size) if clip.exists() else None,
        "picture": Picture(picture.name, sha256_of(picture)) if picture.exists() else None,
        "previous_sha256": store.last_sidecar,
    }
    if began is None:
        document = msgspec.json.encode({"type": "recording", "schema_version": 1, "recovered": True, **facts})
    else:
        document = msgspec.json.encode(
            msgspec.structs.replace(began, recovered=True, note="the program was ended while it recorded", **facts)
        )
    _replace(files[".json"], msgspec.json.format(document, indent=1) + b"\n")


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    sync_file(temporary)
    temporary.rename(path)


def _known(journal: Path) -> Sidecar | None:
    """Return the facts that were kept for recovery; None if they cannot be read."""
    try:
        return msgspec.json.decode(journal.read_bytes(), type=Sidecar)
    except msgspec.MsgspecError:
        _log.warning("%s: cannot be read, and is left out of the sidecar", journal)
        return None


def _remove_leftovers(store: Store) -> None:
    """Remove files of recordings that the chain says were removed."""
    there = store.chain.recordings()
    files: dict[str, set[str]] = {}
    for _, line, _ in store.chain.lines():
        if line is not None and line.kind == "clip" and line.path not in there:
            files.setdefault(line.path, set()).update(line.files)
    for path, suffixes in files.items():
        for suffix in suffixes:
            (store.folder / (path + suffix)).unlink(missing_ok=True)


def whole_fragments(path: Path) -> int:
    """Return the size of a fragmented MP4 without what follows its last whole fragment; 0 if it has none."""
    size = path.stat().st_size
    end = position = 0
    with path.open("rb") as file:
        while position + _HEADER <= size:
            file.seek(position)
            header = file.read(_LARGE_HEADER)
            length = int.from_bytes(header[:4], "big")
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if length < _HEADER or position + length > size:
                break
            position += length
            if header[4:8] in (b"mdat", b"mfra"):
                end = position
    return end
