"""Settings of a camera that change while it is watched: what needs the source to be opened again."""

import msgspec
import pytest

from edgehar.config import CameraOptions
from edgehar.errors import ConfigError
from edgehar.pipeline.camera_settings import CameraSettings

CAMERA = CameraOptions(source="camera:0", name="hall")


def with_(**changes):
    return msgspec.structs.replace(CAMERA, **changes)


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [
        ({}, {"masks": (((0, 0), (1, 0), (1, 1)),)}, False),
        ({}, {"region": (0.5, 0.0, 0.5, 1.0)}, True),
        ({"region": (0.5, 0.0, 0.5, 1.0)}, {}, False),
        ({"region": (0.5, 0.0, 0.5, 1.0)}, {"region": (0.0, 0.0, 0.5, 1.0)}, False),
        ({}, {"watch_hours": ["sat"]}, True),
        ({"watch_hours": ["sat"]}, {"watch_hours": ["sun"]}, False),
        ({"watch_hours": ["sat"]}, {}, False),
        ({}, {"record_hours": ["sat"]}, False),
    ],
)
def test_the_source_is_opened_again_only_where_that_is_needed(before, after, again):
    settings = CameraSettings(with_(**before))
    assert settings.change(with_(**after)) is again
    assert settings.camera == with_(**after)


def test_hours_that_are_none_change_nothing():
    settings = CameraSettings(with_(record_hours=["00:00-24:00"]))
    with pytest.raises(ConfigError, match="record_hours"):
        settings.change(with_(record_hours=["noon"]))
    assert settings.records_now()
    assert settings.camera.record_hours == ["00:00-24:00"]
