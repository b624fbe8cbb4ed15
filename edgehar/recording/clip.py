"""One recording on its way to the disk: its clip, part after part, its picture and its sidecar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgehar.errors import SinkError
from edgehar.recording.clip_file import ClipWriter
from edgehar.recording.recovery import recover
from edgehar.recording.sidecar import Sidecar
from edgehar.recording.store import SOFTWARE

if TYPE_CHECKING:
    from edgehar.recording.camera import CameraRecorder, Recording
    from edgehar.recording.chain import Line
    from edgehar.recording.packets import StoredPacket
    from edgehar.recording.sidecar import Answer
    from edgehar.recording.store import Draft, Store
    from edgehar.records import Event


# How often a growing clip is flushed to the disk: a power cut loses no more than this and the last fragment.
_FLUSH_EVERY_S = 2.0


class ClipInProgress:
    """One recording on its way to the disk.

    Attributes:
        camera: its camera.
        recording: the event.
        finished: whether all its files are complete.
    """

    def __init__(self, store: Store, camera: CameraRecorder, recording: Recording, max_s: float) -> None:
        self.camera, self.recording = camera, recording
        self.finished = False
        self._store, self._max_s = store, max_s
        self._part = 1
        self._draft: Draft | None = None
        self._writer: ClipWriter | None = None
        self._shown: float | None = None
        self._flushed_s = -math.inf

    def advance(self, now_s: float) -> list[Line]:
        """Write what is there; return the lines of the parts that were finished.

        Raises:
            OSError, SinkError: the disk fails.
        """
        lines: list[Line] = []
        over, is_past_end = now_s >= self.recording.deadline_s, False
        if self._draft is None:
            self._begin()
        # Of a recording that is over, all that is there is written too, however many packets that is.
        while not is_past_end and (packets := self._packets()):
            for packet in packets:
                if packet.captured_s > self.recording.end_s:
                    over = is_past_end = True
                    break
                if self._writer is not None and not self._fits(packet):
                    lines.append(self._finish_part())
                    self._begin()
                if self._writer is None:
                    if not packet.is_key:
                        self.recording.cursor = packet.sequence + 1
                        continue
                    assert self._draft is not None
                    self._writer = ClipWriter(self._draft.output(), packet.segment)
                self._writer.write(packet)
                self.recording.cursor = packet.sequence + 1
        if over:
            lines.append(self._finish_part())
            self.finished = True
        elif self._writer is not None and now_s - self._flushed_s >= _FLUSH_EVERY_S:
            self._flushed_s = now_s
            self._writer.flush()
        return lines

    def salvage(self) -> list[Line]:
        """After a failure keep what was written, if the disk takes that; the next start tries again if not."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
        try:
            recover(self._store)
        except (OSError, SinkError):
            return []
        found = self._store.chain.recordings().get(self._base())
        return [found] if found is not None else []

    def _packets(self) -> list[StoredPacket]:
        ring = self.camera.ring
        if self.camera.view.pictures == "none":
            return []
        return ring.after(self.recording.cursor)

    def _fits(self, packet: StoredPacket) -> bool:
        assert self._writer is not None
        too_long = packet.is_key and self._writer.length_with(packet) >= self._max_s - 1e-3
        return not too_long and self._writer.takes(packet.segment)

    def _base(self) -> str:
        return self.recording.name if self._part == 1 else f"{self.recording.name}-{self._part}"

    def _begin(self) -> None:
        """Begin a part: its facts for recovery, and a first picture."""
        events = list(self.recording.events)
        self._draft = self._store.begin(self._base(), self._sidecar(events, []))
        self._write_picture()

    def _write_picture(self) -> None:
        """Write the frame of the peak, unless that picture is there already."""
        assert self._draft is not None
        frame, score = self.recording.peak, self.recording.peak_score
        if frame is None or (self._draft.picture is not None and self._shown == score):
            return
        jpeg = self.camera.view.jpeg(frame)
        if jpeg is not None:
            self._draft.write_picture(jpeg, frame.captured_s)
            self._shown = score

    def _finish_part(self) -> Line:
        assert self._draft is not None
        note = ""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            facts = writer.close()
            self._draft.finish_clip(writer.output, facts)
        elif self.camera.view.pictures == "none":
            note = "pictures are off"
        else:
            note = "the camera gave no key frame in time"
        self._write_picture()
        events, answers = self.camera.take_records(self.recording)
        line = self._draft.commit(self._sidecar(events, answers, note))
        self._draft, self._part = None, self._part + 1
        return line

    def _sidecar(self, events: list[Event], answers: list[Answer], note: str = "") -> Sidecar:
        camera = self.camera
        return Sidecar(
            software=SOFTWARE,
            source=camera.name,
            id=self.recording.event.id,
            part=self._part,
            events=events,
            answers=answers,
            model=self.recording.model,
            clip=None,
            picture=None,
            pictures=camera.view.pictures,
            masked=camera.view.hides,
            note=note,
            previous_sha256=None,
        )
