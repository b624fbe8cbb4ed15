"""Apply another configuration to streams that run, between two frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.model.masking import resizer_for
from edgehar.pipeline import build
from edgehar.pipeline.camera_settings import CameraSettings

if TYPE_CHECKING:
    from edgehar.config import Config
    from edgehar.pipeline.stream import Stream
    from edgehar.records import Record


def change_streams(streams: list[Stream], before: Config, after: Config) -> list[Record]:
    """Apply decision rules, masks, region and hours; returns the ends of events that were open.

    Args:
        streams: in the order of the cameras.
        before: the present configuration.
        after: the new one, which differs in such settings only.

    Raises:
        ConfigError: a setting cannot be used; nothing changes.
    """
    pairs = list(zip(streams, after.cameras, strict=True))
    deciders = [build.make_decider(after, camera, stream.classifier.bundle) for stream, camera in pairs]
    views = [(before.view_of(old), after.view_of(new)) for old, new in zip(before.cameras, after.cameras, strict=True)]
    for (stream, camera), (old, new) in zip(pairs, views, strict=True):
        CameraSettings(camera)
        if new != old:
            resizer_for(stream.classifier.bundle, new).close()
    records: list[Record] = []
    for (stream, camera), decider, (old, new) in zip(pairs, deciders, views, strict=True):
        stream.decider.reconfigure(decider.options)
        if new != old:
            records += stream.use_view(new)
        if stream.settings is not None and stream.settings.change(camera):
            stream.capture.reopen(f"{stream.name}: its settings have changed")
    return records
