"""Checks of the models: whether they are undamaged, and this machine is fast enough for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgehar.doctor.finding import Finding, from_error
from edgehar.errors import EdgeharError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.config import Config
    from edgehar.model.network import Network

# Time of the measurement of speed.
_MEASURE_S = 0.3
_WIDTH, _HEIGHT = 640, 480
# Share of the time between two frames. More leaves too little for the camera and other programs.
_BUSY_SHARE = 0.5


def check_models(config: Config) -> Iterator[Finding]:
    """Check every model in use: its checksums, whether it loads, and the cost of a frame."""
    from edgehar.inspect import trial
    from edgehar.model.network import Network

    cameras = [config.model_of(camera) for camera in config.cameras]
    for model in dict.fromkeys(cameras):
        check = f"model {model}"
        try:
            bundle = trial.open_bundle(model)
            with Network(bundle, threads=config.threads, delegate=config.delegate) as network:
                yield Finding(check, "ok", f"{network.bundle.path}: undamaged, and loads")
                yield _speed(network, cameras.count(model))
        except EdgeharError as error:
            yield from_error(check, error)


def _speed(network: Network, cameras: int) -> Finding:
    """Measure the speed of classification, on noise."""
    import numpy as np

    from edgehar.model.classifier import Classifier

    manifest = network.bundle.manifest
    frame = np.random.default_rng(0).integers(0, 256, (_HEIGHT, _WIDTH, 3), np.uint8)
    classifier = Classifier(network)
    for _ in range(manifest.temporal.window):
        classifier.push(frame)
    frames, started_s = 0, time.monotonic()
    while (elapsed_s := time.monotonic() - started_s) < _MEASURE_S or not frames:
        classifier.push(frame)
        frames += 1
    classifier.close()
    rate_hz = manifest.temporal.rate_hz
    share = cameras * rate_hz * elapsed_s / frames
    watched = f"{cameras} cameras" if cameras > 1 else "one camera"
    says = (
        f"{1000 * elapsed_s / frames:.3g} ms per frame of 640x480: {watched} at {rate_hz:g} frames/s "
        f"{'takes' if cameras == 1 else 'take'} {share:.1%} of a core"
    )
    check = f"speed of {manifest.name}"
    if share > _BUSY_SHARE:
        fix = "fewer cameras, a smaller model, or a faster machine; see edgehar bench"
        return Finding(check, "fail" if share > 1 else "warn", says, fix)
    return Finding(check, "ok", says)
