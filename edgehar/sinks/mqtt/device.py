"""The `device` record: which models a device runs, and how many alarms it raised. Retained, for `edgehar fleet`."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from edgehar._version import __version__
from edgehar.records import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DAY_S = 86_400.0


class ModelInUse(msgspec.Struct, frozen=True):
    """The model of one camera.

    Attributes:
        name: name of the bundle.
        sha256: hash of the bundle's file.
        camera: level of the camera in the topics; empty if it is the only one.
    """

    name: str
    sha256: str
    camera: str = ""


class Device(msgspec.Struct, frozen=True, tag_field="type", tag="device"):
    """A device, as published in `<base>/device`.

    Attributes:
        time: time of the record (UTC, ISO 8601).
        edgehar: version of edgehar.
        started: time at which the program started (UTC, ISO 8601).
        models: the model of each camera.
        alarms: events that started within `alarms_s`.
        alarms_s: the last 24 hours, or the time since the start if that is shorter, in seconds.
        orders: whether it follows orders of an operator.
    """

    time: str
    edgehar: str
    started: str
    models: list[ModelInUse]
    alarms: int
    alarms_s: float
    orders: bool = False


class DeviceReport:
    """Makes the `device` record of a running program."""

    def __init__(
        self,
        models: Callable[[], Sequence[ModelInUse]],
        *,
        orders: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start to count alarms.

        Args:
            models: returns the models in use.
            orders: whether the device follows orders of an operator.
            clock: monotonic seconds.
        """
        self._models, self._orders, self._clock = models, orders, clock
        self._started, self._started_s = utc_now(), clock()
        self._alarms_s: deque[float] = deque()

    def alarm(self) -> None:
        """Count an event that has started."""
        self._alarms_s.append(self._clock())

    def record(self) -> Device:
        """Return the current record."""
        now_s = self._clock()
        while self._alarms_s and now_s - self._alarms_s[0] > _DAY_S:
            self._alarms_s.popleft()
        return Device(
            time=utc_now(),
            edgehar=__version__,
            started=self._started,
            models=list(self._models()),
            alarms=len(self._alarms_s),
            alarms_s=round(min(_DAY_S, now_s - self._started_s), 1),
            orders=self._orders,
        )
