"""Human action recognition on small computers: frames in, named actions out.

>>> from edgehar import Classifier, open_source
>>> with Classifier("actions-synthetic", hop=5) as classifier, open_source("synthetic:walking?duration_s=4") as source:
...     for frame in source:
...         if (prediction := classifier.push(frame)) is not None:
...             print(prediction.label, round(prediction.score, 2))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgehar._version import __version__ as __version__

if TYPE_CHECKING:
    from edgehar._ring import FrameRing, LookResizer, Resizer
    from edgehar.errors import (
        BundleError,
        ConfigError,
        ConversionError,
        DatasetError,
        EdgeharError,
        FleetError,
        RuntimeUnavailableError,
        SinkError,
        SourceError,
    )
    from edgehar.events.decider import Decider
    from edgehar.events.options import DecisionOptions
    from edgehar.frames import Frame, PixelFormat, YuvMatrix
    from edgehar.model.bundle import ModelBundle
    from edgehar.model.classifier import Classifier
    from edgehar.pipeline.watch import watch
    from edgehar.records import Event, Prediction
    from edgehar.sources import open_source

# Where each public name lives. They are imported at first use, so that `import edgehar` stays light on a slow SD card.
_HOMES = {
    "Classifier": "edgehar.model.classifier",
    "Decider": "edgehar.events.decider",
    "DecisionOptions": "edgehar.events.options",
    "Event": "edgehar.records",
    "Frame": "edgehar.frames",
    "FrameRing": "edgehar._ring",
    "LookResizer": "edgehar._ring",
    "ModelBundle": "edgehar.model.bundle",
    "PixelFormat": "edgehar.frames",
    "Prediction": "edgehar.records",
    "Resizer": "edgehar._ring",
    "YuvMatrix": "edgehar.frames",
    "open_source": "edgehar.sources",
    "watch": "edgehar.pipeline.watch",
    **dict.fromkeys(
        (
            "BundleError",
            "ConfigError",
            "ConversionError",
            "DatasetError",
            "EdgeharError",
            "RuntimeUnavailableError",
            "FleetError",
            "SinkError",
            "SourceError",
        ),
        "edgehar.errors",
    ),
}

__all__ = [
    "BundleError",
    "Classifier",
    "ConfigError",
    "ConversionError",
    "DatasetError",
    "Decider",
    "DecisionOptions",
    "EdgeharError",
    "Event",
    "FleetError",
    "Frame",
    "FrameRing",
    "LookResizer",
    "ModelBundle",
    "PixelFormat",
    "Prediction",
    "Resizer",
    "RuntimeUnavailableError",
    "SinkError",
    "SourceError",
    "YuvMatrix",
    "open_source",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgehar' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
