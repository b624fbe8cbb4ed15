"""One camera as the pipeline sees its recording: packets and frames go in, records come out with the path of a clip."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from edgehar.recording.encoder import FrameEncoder
from edgehar.recording.packets import PacketRing
from edgehar.recording.side_stream import SideStream
from edgehar.recording.sidecar import Answer, Model
from edgehar.recording.store import recording_name
from edgehar.records import Event, Prediction

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.video.stream import VideoStream

    from edgehar.frames import Frame
    from edgehar.masks import View
    from edgehar.recording.options import RecordOptions
    from edgehar.records import Record
    from edgehar.sources.base import PacketFeed
    from edgehar.sources.options import VideoOptions

# The pipeline is behind the camera by less than this; packets are kept that much longer.
_BEHIND_S = 4.0
# A clip is finished this long after its post-roll should be over, even if the camera gives no more video.
_LATE_S = 5.0
# Recordings of one camera that may be under way: their post-rolls overlap.
_MOST_OPEN = 8


@dataclass(slots=True)
class Recording:
    """An event that is recorded. The pipeline's thread fills it; the recorder's thread reads it.

    Attributes:
        name: path of its files in the folder, without suffix, of the first part.
        event_time: UTC time of the start, ISO 8601.
        start_s: capture time at which the clip should begin.
        end_s: capture time at which it ends; infinite while the event goes on.
        deadline_s: monotonic time at which it ends even without more video.
        events: the start of the event, and its end.
        cursor: number of the next packet to write.
        model: the model that answers.
        answers: predictions since `start_s`.
        peak_score: highest score so far.
        peak: the frame of that score; None before any frame.
    """

    name: str
    event: Event
    start_s: float
    cursor: int
    model: Model
    end_s: float = math.inf
    deadline_s: float = math.inf
    events: list[Event] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    peak_score: float = -1.0
    peak: Frame | None = None

    def end_now(self) -> None:
        """Finish with the video that is there."""
        self.deadline_s = -math.inf


class CameraRecorder:
    """Recording of one camera. `take`, `records` and `finish` are called by the thread that classifies.

    Attributes:
        name: of the camera.
        model: the model that answers.
        view: what of the picture may be kept.
        ring: encoded video of the last seconds.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        view: View,
        options: RecordOptions,
        *,
        accepts: Callable[[], bool] = lambda: True,
        wake: Callable[[], object] = lambda: None,
        realtime: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make one; `Recorder.camera` does.

        Args:
            name: of the camera.
            model: the model that answers.
            view: what of the picture may be kept.
            options: what to record.
            accepts: whether recordings are wanted, and the disk takes them, now.
            wake: tells the recorder that there is work.
            realtime: whether a file is read at the pace of a camera, so that reading must never wait.
            clock: monotonic seconds.
        """
        self.name, self.model, self.view = name, model, view
        self._realtime = realtime
        self._options, self._accepts, self._wake, self._clock = options, accepts, wake, clock
        keep_s = options.pre_roll_s + _BEHIND_S
        self.ring = PacketRing(keep_s=keep_s, max_bytes=int(options.buffer_mb * 1e6), clock=clock)
        self._copies = False
        self._side: SideStream | None = None
        self._encoder: FrameEncoder | None = None
        self._recent: deque[Answer] = deque()
        self._frame: Frame | None = None
        self._lock = threading.Lock()
        self._new: list[Recording] = []
        self._open: Recording | None = None
        self._running: list[Recording] = []
        self.finished = False

    # The thread that reads the camera: `edgehar.sources.base.PacketTap`.

    def record_from(self, uri: str, options: VideoOptions) -> None:
        """Record another stream of this camera instead of the one that is watched."""
        self._side = SideStream(uri, options, self.ring, clock=self._clock)

    def begin(self, stream: VideoStream, *, live: bool) -> PacketFeed | None:
        """Start to keep the packets of a stream; None if its frames are encoded, or another stream is recorded."""
        if self._side is not None:
            return None
        feed = None if self.view.hides else self.ring.begin(stream, live=live, waits=not (live or self._realtime))
        self._copies = feed is not None
        if self._copies and self.view.hides:
            # A mask came meanwhile; `use_view` on the other thread may not have seen this stream.
            self._copies, feed = False, None
            self.ring.end_feed()
        return feed

    def shifted(self, by_s: float) -> None:
        """Learn that frames get this many seconds added to their capture time after the video source."""
        if self._copies:
            self.ring.shifted(by_s)

    # The thread that classifies.

    @property
    def encodes(self) -> bool:
        """Whether frames are encoded, because packets are not copied."""
        return not (self._copies or self._side is not None or self.view.pictures == "none")

    def take(self, frame: Frame, *, live: bool) -> None:
        """Take a frame: it may become the picture of an event, and is encoded if packets cannot be copied."""
        self._frame = frame
        if not self.encodes:
            return
        if self._encoder is None:
            self._encoder = FrameEncoder(self.ring, self.view, self._options, clock=self._clock)
        self._encoder.offer(frame, live=live)

    def records(self, records: list[Record]) -> list[Record]:
        """Learn what came of a frame; return the records, with the path of the clip in the events that have one."""
        return [self._event(record) if isinstance(record, Event) else self._other(record) for record in records]

    def use_model(self, model: Model) -> None:
        """Learn that another model answers from now on."""
        with self._lock:
            self.model = model
            self._recent.clear()

    def use_view(self, view: View) -> None:
        """Keep another part of the picture from the next frame on; later clips begin no earlier than now."""
        self.view = view
        if self._encoder is not None:
            self._encoder.use_view(view)
        if view.hides and self._copies:
            # The frames are encoded from now on. Packets are copied again after the next reconnection, if nothing is
            # hidden by then.
            self._copies = False
            self.ring.end_feed()
        self.ring.begin_anew()

    def peak_of(self, event_id: str) -> Frame | None:
        """Return the frame of the peak of an event that is being recorded; None for others. Safe from any thread."""
        with self._lock:
            return next((recording.peak for recording in self._running if recording.event.id == event_id), None)

    def finish(self) -> None:
        """No frame comes any more: finish the recordings with the video that is there."""
        if self._encoder is not None:
            self._encoder.close()
        if self._side is not None:
            self._side.close()
        with self._lock:
            self.finished = True
            for recording in self._running:
                recording.end_now()
        self._frame = None
        self._wake()

    def _other(self, record: Record) -> Record:
        if not isinstance(record, Prediction):
            return record
        scores = [round(record.scores[label], 6) for label in self.model.labels]
        answer = Answer(round(record.window.end_s, 3), record.label, round(record.score, 6), scores)
        self._recent.append(answer)
        while self._recent[0].end_s < answer.end_s - self._options.pre_roll_s:
            self._recent.popleft()
        with self._lock:
            for recording in self._running:
                # Answers of a model that took over since have other labels.
                if answer.end_s <= recording.end_s and recording.model is self.model:
                    recording.answers.append(answer)
            opened = self._open
            if opened is not None and record.label == opened.event.label and record.score > opened.peak_score:
                opened.peak_score, opened.peak = record.score, self._frame
        return record

    def _event(self, event: Event) -> Event:
        if event.phase == "start":
            return self._start(event)
        recording = self._open
        if recording is None or recording.event.id != event.id:
            return event
        event = msgspec.structs.replace(event, clip=recording.event.clip)
        if event.phase == "end":
            with self._lock:
                assert event.end_s is not None
                recording.events.append(event)
                recording.end_s = event.end_s + self._options.post_roll_s
                recording.deadline_s = self._clock() + self._options.post_roll_s + _LATE_S
                self._open = None
            self._wake()
        return event

    def _start(self, event: Event) -> Event:
        wanted = not self._options.labels or event.label in self._options.labels
        if not wanted or self.finished or len(self._running) >= _MOST_OPEN or not self._accepts():
            return event
        sealed = bool(self._options.seal_to)
        name = recording_name(self.name, event.time, event.label, event.id, 1, sealed=sealed)
        if self.view.pictures != "none":
            event = msgspec.structs.replace(event, clip=name + (".mp4.age" if sealed else ".mp4"))
        start_s = event.start_s - self._options.pre_roll_s
        answers = [answer for answer in self._recent if answer.end_s >= start_s]
        recording = Recording(
            name, event, start_s, self.ring.start_for(start_s), self.model, events=[event], answers=answers
        )
        recording.peak_score, recording.peak = event.peak_score, self._frame
        with self._lock:
            self._open = recording
            self._running.append(recording)
            self._new.append(recording)
        self.keep_wanted()
        self._wake()
        return event

    def keep_wanted(self) -> None:
        """Keep the packets that the recordings under way still need."""
        with self._lock:
            self.ring.want(min((recording.cursor for recording in self._running), default=None))

    # The recorder's thread.

    @property
    def has_new(self) -> bool:
        """Whether a recording has begun since the last call of `new_recordings`."""
        return bool(self._new)

    def new_recordings(self) -> list[Recording]:
        """Return the recordings that began since the last call."""
        with self._lock:
            new, self._new = self._new, []
            return new

    def take_records(self, recording: Recording) -> tuple[list[Event], list[Answer]]:
        """Return the records of the event so far, and the answers since the last call."""
        with self._lock:
            answers, recording.answers = recording.answers, []
            return list(recording.events), answers

    def done(self, recording: Recording) -> None:
        """Forget a recording that was finished or given up."""
        with self._lock:
            self._running = [other for other in self._running if other is not recording]
            if self._open is recording:
                self._open = None
        self.keep_wanted()
