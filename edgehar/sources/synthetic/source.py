"""A source that needs no camera and no file: drawn figures doing the six actions of KTH.

The address is `synthetic:ACTION?subject=3&take=1&duration_s=4&rate_hz=25&width=160&height=120&realtime=0&seed=0`.
`synthetic:all` plays the six actions one after another, each `duration_s` long and done by the next subject.
"""

from __future__ import annotations

import itertools
import math
import re
import threading
import time
import urllib.parse
from typing import TYPE_CHECKING, Annotated, Any, Self

import msgspec
from msgspec import Meta

from edgehar.errors import ConfigError
from edgehar.frames import Frame, PixelFormat
from edgehar.printable import printable
from edgehar.sources.base import Source
from edgehar.sources.synthetic.people import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import numpy.typing as npt

SCHEME = "synthetic:"
ALL = "all"

_Side = Annotated[int, Meta(ge=32, le=1920)]


class Take(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of a synthetic take, from the address.

    Attributes:
        subject: person; decides body, clothes and habits. "all" uses this person and the next five. The default is the
            first one that is not in the built-in data set of 40 subjects, so a model trained on it has not seen it.
        take: decides place, light, camera and path.
        duration_s: seconds of each action.
        rate_hz: frames a second.
        width: pixels.
        height: pixels.
        realtime: deliver each frame when it is due, as a camera does.
        seed: another seed gives other people and takes.
    """

    subject: Annotated[int, Meta(ge=0, le=2**32 - 10)] = 41
    take: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 1
    duration_s: Annotated[float, Meta(ge=0.04, le=1e6)] = 4.0
    rate_hz: Annotated[float, Meta(ge=1, le=240)] = 25.0
    width: _Side = 160
    height: _Side = 120
    realtime: bool = False
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0


_DEFAULT = Take()


class SyntheticSource(Source):
    """Frames of one synthetic take, or of six: BGR24, identical to the bit for the same parameters.

    `captured_s` is the frame's number divided by `rate_hz`. In real time it is on the clock given to `__init__`.
    """

    def __init__(
        self,
        action: str,
        take: Take = _DEFAULT,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """Choose a take.

        Args:
            action: one of `people.ACTIONS`, or "all".
            take: parameters of the take.
            clock: monotonic seconds, for real time.
            wait: waits so many seconds, and returns True at once when the source is closed.

        Raises:
            ConfigError: the action does not exist.
        """
        if action != ALL and action not in ACTIONS:
            raise ConfigError(f"{SCHEME}{printable(action)}: no such action; choose one of {', '.join(ACTIONS)}, {ALL}")
        self.name = f"{SCHEME}{action}"
        self.live = take.realtime
        self._actions = ACTIONS if action == ALL else (action,)
        self._take = take
        self._frames_each = max(1, round(take.duration_s * take.rate_hz))
        self._started_s = 0.0
        self._closed = threading.Event()
        self._clock, self._wait = clock, wait or self._closed.wait

    @classmethod
    def from_uri(cls, uri: str, _options: Any = None) -> Self:
        """Open an address such as `synthetic:walking?subject=3`.

        Raises:
            ConfigError: the action or a parameter does not exist, or a value is out of range.
        """
        action, _, query = uri.removeprefix(SCHEME).partition("?")
        given = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        try:
            return cls(action, msgspec.convert(given, Take, strict=False))
        except msgspec.ValidationError as error:
            raise ConfigError(f"{printable(uri)}: {_explained(str(error), given)}") from None

    def true_action_at(self, captured_s: float) -> str:
        """Return the action shown in the frame captured at `captured_s` (seconds, on this source's clock)."""
        number = math.floor((captured_s - self._started_s) * self._take.rate_hz + 1e-3)
        return self._actions[min(max(number // self._frames_each, 0), len(self._actions) - 1)]

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames in order; each has its own pixels."""
        self._started_s = self._clock() if self.live else 0.0
        period_s = 1 / self._take.rate_hz
        for sequence, pixels in enumerate(self._pixels()):
            captured_s = self._started_s + sequence * period_s
            early_s = captured_s - self._clock() if self.live else 0.0
            # Closing the source ends the wait for the next frame.
            if self._wait(max(0.0, early_s)):
                return
            # A camera drops a frame that was not read before the next one was due.
            if not self.live or early_s > -period_s:
                arrived_s = max(self._clock(), captured_s) if self.live else time.monotonic()
                yield Frame(pixels, PixelFormat.BGR24, captured_s, arrived_s, sequence)

    def _pixels(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the pixels of every frame: uint8 `(height, width, 3)`, BGR."""
        from edgehar.sources.synthetic.scene import Scene

        take = self._take
        for place, action in enumerate(self._actions):
            # Do not keep a reference to the scene, so that it is freed before the next one is made.
            yield from itertools.islice(
                Scene(action, take.subject + place, take.take, take.seed, take.width, take.height).frames(take.rate_hz),
                self._frames_each,
            )

    def close(self) -> None:
        """End the frames."""
        self._closed.set()


def _explained(message: str, given: dict[str, str]) -> str:
    """Put msgspec's message in terms of the parameters of the address."""
    unknown = re.search(r"unknown field `(\w+)`", message)
    if unknown is not None:
        return f"unknown parameter {unknown[1]!r}; known are {', '.join(Take.__struct_fields__)}"
    found = re.fullmatch(r"(.*?) - at `\$\.(\w+)`", message)
    if found is None:
        return message
    return f"{found[2]} is {given.get(found[2])!r}: {found[1][0].lower()}{found[1][1:]}"
