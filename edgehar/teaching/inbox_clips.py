"""Clips of moments, cut from the encoded video of the last seconds that recording keeps in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.errors import SinkError
from edgehar.recording.clip_file import ClipWriter, PlainOutput

if TYPE_CHECKING:
    from pathlib import Path

    from edgehar.recording.packets import PacketRing

_NAME = ".clip.tmp"


class RingClips:
    """Cuts clips out of the packets of one camera."""

    def __init__(self, ring: PacketRing) -> None:
        """Use a ring that another object fills."""
        self._ring = ring

    def cut(self, folder: Path, start_s: float, end_s: float) -> tuple[Path, float] | None:
        """Write a clip that holds these capture times, from the key frame before them on.

        Returns:
            The file, and the seconds of it before `start_s`; None if there is no video of that time.

        Raises:
            OSError: the disk is full or fails.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / _NAME
        path.unlink(missing_ok=True)
        writer: ClipWriter | None = None
        sequence, ended = self._ring.start_for(start_s), False
        try:
            while not ended and (packets := self._ring.after(sequence)):
                for packet in packets:
                    if packet.captured_s > end_s and (writer is not None or packet.captured_s > end_s + 1.0):
                        ended = True
                        break
                    if writer is None:
                        if not packet.is_key or packet.segment.header is None:
                            continue
                        writer = ClipWriter(PlainOutput(path), packet.segment)
                    elif not writer.takes(packet.segment):
                        ended = True
                        break
                    writer.write(packet)
                sequence = packets[-1].sequence + 1
            if writer is None:
                return None
            facts = writer.close()
        except SinkError as error:
            if writer is not None:
                writer.abandon()
            path.unlink(missing_ok=True)
            raise OSError(28, str(error), str(path)) from error
        return path, max(0.0, start_s - facts.start_s)
