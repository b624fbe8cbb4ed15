"""A source that needs no camera and no file: figures doing KTH's six actions, made by code.

The address is `synthetic:ACTION?subject=3&take=1&duration_s=4&rate_hz=25&width=160&height=120&realtime=0&seed=0`.
`synthetic:all` plays the six actions one after another, each `duration_s` long and done by the next subject.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
import urllib.parse
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError
from edgehar.frames import Frame, PixelFormat
from edgehar.sources.base import Source
from edgehar.sources.synthetic.people import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

SCHEME = "synthetic:"
ALL = "all"
# Name, default, lowest and highest value of each parameter. Subject 41 is the first that the built-in data set of 40
# subjects does not hold, so that a model trained on it meets a stranger.
_INTEGERS = {
    "subject": (41, 0, 2**32 - 10),
    "take": (1, 0, 2**32 - 1),
    "seed": (0, 0, 2**32 - 1),
    "width": (160, 32, 1920),
    "height": (120, 32, 1920),
    "realtime": (0, 0, 1),
}
_NUMBERS = {"duration_s": (4.0, 0.04, 1e6), "rate_hz": (25.0, 1.0, 240.0)}


class SyntheticSource(Source):
    """Frames of one synthetic take, or of six: BGR24, the same to the bit on every run with the same arguments.

    `captured_s` is the frame's number divided by `rate_hz`; in real time it is the monotonic clock.
    """

    def __init__(
        self,
        action: str,
        *,
        subject: int = 41,
        take: int = 1,
        seed: int = 0,
        duration_s: float = 4.0,
        rate_hz: float = 25.0,
        width: int = 160,
        height: int = 120,
        realtime: bool = False,
    ) -> None:
        """Choose a take.

        Args:
            action: one of `figures.ACTIONS`, or "all".
            subject: person; decides body, clothes and habits. "all" uses this one and the five after it.
            take: decides place, light, camera and way.
            seed: another seed is another set of people and takes.
            duration_s: seconds of each action.
            rate_hz: frames a second.
            width: pixels.
            height: pixels.
            realtime: give each frame when it is due, as a camera does.

        Raises:
            ConfigError: no such action.
        """
        if action != ALL and action not in ACTIONS:
            raise ConfigError(f"{SCHEME}{action}: no such action; choose one of {', '.join(ACTIONS)}, {ALL}")
        self.name = f"{SCHEME}{action}"
        self.live = realtime
        self._actions = ACTIONS if action == ALL else (action,)
        self._subject, self._take, self._seed = subject, take, seed
        self._rate_hz, self._width, self._height = rate_hz, width, height
        self._frames_each = max(1, round(duration_s * rate_hz))
        self._started_s = 0.0
        self._closed = threading.Event()

    @classmethod
    def from_uri(cls, uri: str) -> SyntheticSource:
        """Open an address like `synthetic:walking?subject=3`.

        Raises:
            ConfigError: an unknown action or parameter, or a value out of range.
        """
        action, _, query = uri.removeprefix(SCHEME).partition("?")
        values: dict[str, float] = {}
        for key, text in urllib.parse.parse_qsl(query, keep_blank_values=True):
            values[key] = _parse(uri, key, text)
        integers = {key: int(values.get(key, default)) for key, (default, _, _) in _INTEGERS.items()}
        return cls(
            action,
            subject=integers["subject"],
            take=integers["take"],
            seed=integers["seed"],
            width=integers["width"],
            height=integers["height"],
            realtime=bool(integers["realtime"]),
            duration_s=values.get("duration_s", _NUMBERS["duration_s"][0]),
            rate_hz=values.get("rate_hz", _NUMBERS["rate_hz"][0]),
        )

    def true_action_at(self, captured_s: float) -> str:
        """The action shown in the frame captured at `captured_s` (seconds, on this source's clock)."""
        number = math.floor((captured_s - self._started_s) * self._rate_hz + 1e-3)
        return self._actions[min(max(number // self._frames_each, 0), len(self._actions) - 1)]

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order; each has pixels of its own."""
        self._started_s = time.monotonic() if self.live else 0.0
        for sequence, pixels in enumerate(self._pixels()):
            captured_s = self._started_s + sequence / self._rate_hz
            early_s = captured_s - time.monotonic() if self.live else 0.0
            # A closed source ends at once, also while it waits for the next frame.
            if self._closed.wait(max(0.0, early_s)):
                return
            # A camera's frame that nobody fetched before the next one was due is gone.
            if early_s > -1 / self._rate_hz or not self.live:
                yield Frame(pixels, PixelFormat.BGR24, captured_s, time.monotonic(), sequence)

    def _pixels(self) -> Iterator[npt.NDArray[np.uint8]]:
        """The pixels of every frame: uint8 `(height, width, 3)`, BGR."""
        from edgehar.sources.synthetic.scene import Scene

        for place, action in enumerate(self._actions):
            person = self._subject + place
            # Nothing else refers to the scene, so that it is gone before the next one is made.
            yield from itertools.islice(
                Scene(action, person, self._take, self._seed, self._width, self._height).frames(self._rate_hz),
                self._frames_each,
            )

    def close(self) -> None:
        """End the frames."""
        self._closed.set()


def _parse(uri: str, key: str, text: str) -> float:
    known = {**_INTEGERS, **_NUMBERS}
    if key not in known:
        raise ConfigError(f"{uri}: unknown parameter {key!r}; known are {', '.join(known)}")
    _, low, high = known[key]
    try:
        value = int(text) if key in _INTEGERS else float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        kind = "a whole number" if key in _INTEGERS else "a number"
        raise ConfigError(f"{uri}: {key} is {text!r}, it must be {kind} from {low:g} to {high:.10g}")
    return value
