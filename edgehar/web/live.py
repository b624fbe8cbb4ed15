"""Live pictures and answers: made once for all viewers, and only while someone looks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
import numpy as np

from edgehar.web.answers import LiveState
from edgehar.web.preview import Preview, input_png

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from concurrent.futures import Executor

    import numpy.typing as npt

    from edgehar.frames import Frame
    from edgehar.web.board import Board
    from edgehar.web.camera import WebCamera

    Kind: TypeAlias = Literal["picture", "input", "state"]

_log = logging.getLogger(__name__)

BOUNDARY = "edgehar-part"
_TYPES = {"picture": "image/jpeg", "input": "image/png", "state": "application/json"}
# A state is sent again after this time, so that a page notices a dead connection.
_REPEAT_S = 2.0
# A picture older than this is not shown as live.
STALE_S = 5.0


@dataclass(frozen=True)
class _Part:
    """A part of the stream, ready to be written.

    Attributes:
        turn: the turn it was made in.
        content: header and body.
    """

    turn: int
    content: bytes


class _Watched:
    """A camera, and the newest parts about it."""

    def __init__(self, camera: WebCamera, picture_px: int) -> None:
        self.camera = camera
        self.parts: dict[Kind, _Part] = {}
        # Of the frame that was shown last; the frame itself is large.
        self.shown: tuple[int, float] | None = None
        self.state_s = float("-inf")
        self._view, self._picture_px = camera.view, picture_px
        self._preview = Preview(self._view, picture_px)
        self._codes: npt.NDArray[np.int8] | None = None

    def take_input(self, codes: npt.NDArray[np.int8]) -> None:
        """Keep a copy of the network's input; called by the thread that classifies."""
        self._codes = np.array(codes[0])

    def picture(self, frame: Frame) -> bytes | None:
        """Return a frame as JPEG, and remember it."""
        self.shown = frame.sequence, frame.arrived_s
        if (view := self.camera.view) != self._view:
            self._preview.close()
            self._view, self._preview = view, Preview(view, self._picture_px)
        return self._preview.jpeg(frame)

    def input(self) -> bytes | None:
        """Return the network's newest input as PNG; None if there is none since the last call."""
        codes, self._codes = self._codes, None
        return None if codes is None else input_png(codes, self.camera.manifest, self.camera.view)


class LiveFeed:
    """One stream of parts for all viewers. Everything but the pictures is made on the event loop.

    A slow viewer gets the newest parts when it is ready for them, and nothing waits for it.
    """

    def __init__(
        self,
        cameras: Sequence[WebCamera],
        board: Board,
        executor: Executor,
        *,
        rate_hz: float,
        picture_px: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a feed; it rests until somebody looks.

        Args:
            cameras: the cameras, in the order of their numbers.
            board: the newest answers.
            executor: its threads make the pictures.
            rate_hz: turns a second: pictures of each camera at most.
            picture_px: longer side of a picture.
            clock: monotonic seconds.
        """
        self._cameras = [_Watched(camera, picture_px) for camera in cameras]
        self._board, self._executor, self._clock = board, executor, clock
        self._period_s = 1 / rate_hz
        self._viewers: Counter[tuple[int, Kind]] = Counter()
        self._turn = 0
        # What viewers were given in this turn, by the turn before which they have seen all.
        self._joined: dict[tuple[int, tuple[tuple[int, Kind], ...]], bytes] = {}
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def viewers(self) -> int:
        """Streams that are open now."""
        return sum(count for (_, kind), count in self._viewers.items() if kind == "state")

    @property
    def running(self) -> bool:
        """Whether pictures are being made."""
        return self._task is not None and not self._task.done()

    async def parts(
        self, numbers: Sequence[int], kinds: Sequence[Kind], allowed: Callable[[], bool] = lambda: True
    ) -> AsyncIterator[bytes]:
        """Give the parts about some cameras as they change, until the feed is closed.

        Args:
            numbers: the cameras.
            kinds: which parts; "state" is counted in any case.
            allowed: asked at each turn; the parts end when the viewer may not look any more.
        """
        wanted = tuple((number, kind) for number in numbers for kind in kinds)
        counted = [*wanted, *((number, "state") for number in numbers[:1] if "state" not in kinds)]
        self._viewers.update(counted)
        self._start()
        # Something at once, so that the answer begins before the first picture.
        seen = 0
        try:
            yield f"--{BOUNDARY}\r\n".encode()
            while not self._closed and allowed():
                fresh = self._since(seen, wanted)
                seen = self._turn
                if fresh:
                    yield fresh
                await self._next_turn(seen)
        finally:
            self._viewers.subtract(counted)
            self._viewers += Counter()

    def _since(self, turn: int, wanted: tuple[tuple[int, Kind], ...]) -> bytes:
        """Return the parts of later turns: one object for all viewers who ask for the same, because each holds it."""
        if (turn, wanted) not in self._joined:
            parts = [self._cameras[number].parts.get(kind) for number, kind in wanted]
            self._joined[turn, wanted] = b"".join(
                part.content for part in parts if part is not None and part.turn > turn
            )
        return self._joined[turn, wanted]

    async def _next_turn(self, after: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._turn > after or self._closed)

    async def picture(self, number: int) -> bytes | None:
        """Return the newest picture of a camera as JPEG; None if there is none or pictures are off."""
        camera = self._cameras[number]
        frame = camera.camera.frame()
        if frame is None:
            return None
        preview = Preview(camera.camera.view, max(frame.height, frame.width))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, preview.jpeg, frame)

    async def close(self) -> None:
        """End all streams."""
        self._closed = True
        async with self._changed:
            self._changed.notify_all()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="live")

    async def _run(self) -> None:
        """Take turns while somebody looks."""
        while self._viewers and not self._closed:
            started_s = self._clock()
            for number, camera in enumerate(self._cameras):
                try:
                    await self._look(number, camera)
                except Exception:
                    _log.exception("%s: cannot be shown", camera.camera.name)
            async with self._changed:
                self._turn += 1
                self._joined.clear()
                self._changed.notify_all()
            await asyncio.sleep(max(0.0, self._period_s - (self._clock() - started_s)))
        # Whoever looks next must not see an old picture first.
        self._joined.clear()
        for camera in self._cameras:
            camera.parts.clear()
            camera.shown = None

    async def _look(self, number: int, camera: _Watched) -> None:
        loop = asyncio.get_running_loop()
        has_pictures = camera.camera.view.pictures != "none"
        if self._viewers[number, "picture"] and has_pictures:
            frame = camera.camera.frame()
            if frame is not None and (frame.sequence, frame.arrived_s) != camera.shown:
                self._put(number, "picture", await loop.run_in_executor(self._executor, camera.picture, frame))
        if self._viewers[number, "input"] and has_pictures:
            self._put(number, "input", await loop.run_in_executor(self._executor, camera.input))
            camera.camera.take_input(camera.take_input)
        if self._viewers[number, "state"]:
            self._put_state(number, camera)

    def _put(self, number: int, kind: Kind, content: bytes | None) -> None:
        if content is not None:
            self._cameras[number].parts[kind] = _Part(self._turn + 1, part(number, kind, content))

    def _put_state(self, number: int, camera: _Watched) -> None:
        state = self.state(number)
        content = part(number, "state", msgspec.json.encode(state))
        before = camera.parts.get("state")
        now_s = self._clock()
        if before is None or before.content != content or now_s - camera.state_s >= _REPEAT_S:
            camera.state_s = now_s
            camera.parts["state"] = _Part(self._turn + 1, content)

    def state(self, number: int) -> LiveState:
        """Return the newest answer and state of a camera."""
        camera = self._cameras[number].camera
        board = self._board.cameras[camera.name]
        frame, event, latest = camera.frame(), board.open_event, board.latest
        age_s = None if frame is None else time.monotonic() - frame.arrived_s
        return LiveState(
            camera=camera.key,
            state=camera.state().value,
            fresh=age_s is not None and age_s < STALE_S,
            label=None if latest is None else latest.label,
            score=None if latest is None else round(latest.score, 3),
            scores={} if latest is None else {label: round(score, 3) for label, score in latest.scores.items()},
            event=None if event is None else event.label,
            event_since=None if event is None else event.time,
            region=None if camera.view.region is None else list(camera.view.region),
        )


def part(number: int, kind: Kind, content: bytes) -> bytes:
    """Return a part of the multipart stream, from its header to the boundary after it."""
    head = f"Content-Type: {_TYPES[kind]}\r\nContent-Length: {len(content)}\r\nX-Camera: {number}\r\nX-Kind: {kind}"
    return head.encode() + b"\r\n\r\n" + content + f"\r\n--{BOUNDARY}\r\n".encode()
