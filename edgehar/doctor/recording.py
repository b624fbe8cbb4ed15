"""Recording: the encoder, the folder, and the library for sealing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.doctor.finding import Finding, from_error
from edgehar.errors import EdgeharError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.config import Config


def check_recording(config: Config) -> Iterator[Finding]:
    """The encoder that works here, and whether recording can begin."""
    if config.record.directory is None:
        return
    from edgehar.recording.encoder import choose_encoder, why_not

    codec = choose_encoder(config.record.encoder)
    reason = why_not(codec)
    if reason is None:
        yield Finding("recording", "ok", f"H.264 and H.265 are copied; other video is encoded with {codec}")
    else:
        yield Finding("recording", "fail", f"{codec} does not work: {reason}", 'set encoder = "auto" under [record]')
    if config.record.seal_to:
        yield from _seal(config)
    yield _folder(config)


def _seal(config: Config) -> Iterator[Finding]:
    from edgehar.recording.seal import Sealer

    try:
        Sealer(config.record.seal_to)
    except EdgeharError as error:
        yield from_error("seal", error)
    else:
        yield Finding("seal", "ok", f"sealed to {len(config.record.seal_to)} public keys")


def _folder(config: Config) -> Finding:
    import os

    assert config.record.directory is not None
    folder = Path(config.record.directory).expanduser()
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Finding(
            "disk for clips", "fail", f"{folder} cannot be written", "name a folder that this user can write"
        )
    disk = os.statvfs(there)
    free_mb = disk.f_bavail * disk.f_frsize / 1e6
    if free_mb < config.record.min_free_mb:
        says = f"{folder}: {free_mb:.0f} MB are free, and min_free_mb is {config.record.min_free_mb:g}"
        return Finding("disk for clips", "warn", says, "make room, or lower min_free_mb under [record]")
    return Finding("disk for clips", "ok", f"{folder}: {free_mb / 1e3:.1f} GB are free")
