"""What the frozen encoder makes of a clip: the windows of int8 features that the head would be given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import SourceError
from edgehar.model.history import FeatureRing
from edgehar.model.interpreter import make_interpreter
from edgehar.model.timegrid import TimeGrid
from edgehar.sources import open_source
from edgehar.teaching.head import probe_head

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

    from edgehar.model.network import Network

# The difference to frames before the first one is 0: these frames of a clip look like none of a running camera.
_STARTING_FRAMES = 2


def windows_of(network: Network, clip: str | os.PathLike[str], hop: int) -> npt.NDArray[np.int8]:
    """Encode a clip and cut its features into windows, one every `hop` frames.

    The first two frames are left out where the clip is long enough for that. A clip shorter than one window gives one
    window, filled up in front with its first features.

    Args:
        network: encoder and manifest.
        clip: a video file, or what else `open_source` takes.
        hop: frames between windows.

    Returns:
        int8 `(windows, window, features)`.

    Raises:
        SourceError: the clip cannot be read, or holds no frame.
    """
    bundle, encoder = network.bundle, network.encoder
    window, grid = bundle.manifest.temporal.window, TimeGrid(bundle.manifest.temporal.rate_hz)
    resizer, found = bundle.make_resizer(), []
    try:
        with open_source(clip) as source:
            for frame in source:
                if not grid.accepts(frame.captured_s):
                    continue
                resizer.resize_into(frame, encoder.input_view())
                encoder.invoke()
                found.append(encoder.output_view().reshape(-1).copy())
    finally:
        resizer.close()
    if not found:
        raise SourceError(f"{clip}: holds no frame")
    if len(found) < window + _STARTING_FRAMES:
        history = FeatureRing(window, found[0].size)
        for features in found:
            history.push(features)
        return history.view()[np.newaxis].copy()
    starts = range(_STARTING_FRAMES, len(found) - window + 1, hop)
    return np.stack([np.stack(found[start : start + window]) for start in starts])


class Probe:
    """Runs the old head up to its logits, and pools the features beside it."""

    def __init__(self, network: Network) -> None:
        """Load it.

        Raises:
            BundleError: the head cannot be taken apart.
        """
        bundle = network.bundle
        name = f"{bundle.path}: head.tflite"
        self._interpreter = make_interpreter(probe_head(bundle.read("head.tflite"), name), name=name)
        self._input = self._interpreter.tensor(self._interpreter.get_input_details()[0]["index"])
        self._output = self._interpreter.tensor(self._interpreter.get_output_details()[0]["index"])
        self._labels = len(bundle.manifest.labels)

    def run(self, windows: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the old logits, float `(windows, labels)`, and the pooled features, float `(windows, 2 * features)`.

        Args:
            windows: int8 `(windows, window, features)`.
        """
        rows = []
        for window in windows:
            self._input()[...] = window
            self._interpreter.invoke()
            rows.append(self._output().reshape(-1).astype(np.float64))
        table = np.stack(rows)
        return table[:, : self._labels], table[:, self._labels :]
