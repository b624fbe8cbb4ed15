"""Settings of a camera that may change while it is watched."""

from __future__ import annotations

import datetime
import math
from functools import partial
from typing import TYPE_CHECKING

from edgehar.credentials import without_credentials
from edgehar.hours import Hours
from edgehar.printable import valid_unicode

if TYPE_CHECKING:
    from edgehar.config import CameraOptions
    from edgehar.model.bundle import ModelBundle
    from edgehar.sources.base import PacketTap, Source

# Smallest share of the picture for which a camera's resolution is raised.
_LEAST_SHARE = 0.01


def source_name(camera: CameraOptions) -> str:
    """Return the camera's name in records: its configured name, else its address without credentials."""
    return camera.name or valid_unicode(without_credentials(camera.source))


class CameraSettings:
    """The present settings of a camera. The thread that classifies changes them; those that read and record use them.

    Attributes:
        camera: all settings.
        watch_hours: when the camera is read.
        record_hours: when its events are recorded.
    """

    def __init__(self, camera: CameraOptions) -> None:
        """Use the settings of a configuration. Raises ConfigError if a time span is invalid."""
        name = source_name(camera)
        self.camera = camera
        self.watch_hours = Hours(f"camera {name}: watch_hours", camera.watch_hours)
        self.record_hours = Hours(f"camera {name}: record_hours", camera.record_hours)

    def change(self, camera: CameraOptions) -> bool:
        """Use other settings; returns whether the source must be opened again for them.

        Raises:
            ConfigError: a time span is invalid; nothing changes.
        """
        for_check = CameraSettings(camera)
        before, had_hours = self.camera, bool(self.watch_hours)
        self.camera = camera
        self.watch_hours.change(camera.watch_hours)
        self.record_hours.change(camera.record_hours)
        # A source without hours is not checked for them; a smaller region needs more pixels of the picture.
        needs_hours = bool(for_check.watch_hours) and not had_hours
        return needs_hours or any(new < old for new, old in zip(_extent(camera), _extent(before), strict=True))

    def records_now(self) -> bool:
        """Return whether events are recorded at this time."""
        return not self.record_hours or self.record_hours.hold(datetime.datetime.now())  # noqa: DTZ005 - local time

    def open(self, bundle: ModelBundle, tap: PacketTap | None, decoder_threads: int | None = None) -> Source:
        """Open the source.

        Args:
            bundle: the model, which tells what size it needs.
            tap: gets the encoded packets; None for nothing.
            decoder_threads: threads that decode video; one per core if None.

        Raises:
            SourceError: it cannot be opened, or is not to be read now.
        """
        source: Source
        if self.watch_hours:
            from edgehar.sources.scheduled import ScheduledSource

            source = ScheduledSource(partial(self._open_now, bundle, decoder_threads), self.watch_hours)
        else:
            source = self._open_now(bundle, decoder_threads)
        source.tap = tap
        return source

    def _open_now(self, bundle: ModelBundle, decoder_threads: int | None) -> Source:
        from edgehar.sources import open_source

        height, width = bundle.manifest.input.source_size
        # Large enough that the region of the picture has the pixels that the model needs.
        wide, high = (max(share, _LEAST_SHARE) for share in _extent(self.camera))
        target_size = (math.ceil(height / high), math.ceil(width / wide))
        hints = {"target_size": target_size, "decoder_threads": decoder_threads}
        return open_source(self.camera.source, **hints, **self.camera.open_options())


def _extent(camera: CameraOptions) -> tuple[float, float]:
    """Return the width and height of the region, in shares of the picture."""
    return (1.0, 1.0) if camera.region is None else camera.region[2:]
