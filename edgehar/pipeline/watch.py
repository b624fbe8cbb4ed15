"""`edgehar.watch`: a camera, a model and two functions, in one call."""

from __future__ import annotations

import os
from numbers import Real
from typing import TYPE_CHECKING, Any

from edgehar.credentials import without_credentials
from edgehar.errors import ConfigError
from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.inspect import trial
from edgehar.model.bundle import ModelBundle
from edgehar.model.classifier import Classifier
from edgehar.pipeline.runner import Runner, RunnerOptions
from edgehar.pipeline.stream import Stream
from edgehar.sinks.callback import CallbackSink
from edgehar.sources import open_source

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    import numpy as np
    import numpy.typing as npt

    from edgehar.frames import Frame
    from edgehar.records import Event, Prediction, Status
    from edgehar.sources.base import Source


def watch(
    source: str | int | os.PathLike[str] | Source | Iterable[Frame | npt.NDArray[np.uint8]],
    *,
    model: str | os.PathLike[str] | ModelBundle = "fight",
    on_event: Callable[[Event], object] | None = None,
    on_prediction: Callable[[Prediction], object] | None = None,
    on_status: Callable[[Status], object] | None = None,
    threshold: float | None = None,
    decision: DecisionOptions | None = None,
    hop: int | None = None,
    duration_s: float | None = None,
    stop: threading.Event | None = None,
    **source_options: Any,
) -> None:
    """Watch a source until it ends, and call a function for each event and prediction.

    It does what `edgehar-run` does: a live source is reopened when it breaks off, late frames are dropped, and the
    decision rules of the model apply. The functions are called one after the other on a thread of their own. A slow one
    delays no frame: of a live source, the oldest records are dropped then. An error in one ends the watch.

    >>> edgehar.watch("rtsp://camera/stream", on_event=lambda event: print(event.phase, event.label))

    Args:
        source: what `open_source` takes.
        model: a bundle, its path, or the name of a shipped or installed one.
        on_event: called with the start, updates and end of each event.
        on_prediction: called with each prediction, as decided.
        on_status: called with the status of the stream, every 10 s and at each change.
        threshold: score that an action needs; None for the model's own.
        decision: all rules of events, in place of `threshold`; None for the model's own.
        hop: frames between predictions; None for the model's own.
        duration_s: end after this much video (files), or this long after the start (live sources), in seconds.
        stop: ends the watch when it is set, from any thread.
        **source_options: passed to `open_source`.

    Raises:
        ConfigError: an option is out of range or not a function, or both `threshold` and `decision` are given.
        SourceError: the source cannot be opened or read.
        BundleError: the model cannot be used.
        Exception: what one of the functions raised.
    """
    if threshold is not None and decision is not None:
        raise ConfigError("threshold and decision are both given; set the threshold in decision")
    if threshold is not None and not (isinstance(threshold, Real) and 0 <= threshold <= 1):
        raise ConfigError(f"threshold is {threshold!r}, it must be 0 to 1")
    _check_functions(on_event=on_event, on_prediction=on_prediction, on_status=on_status)
    rules = decision or DecisionOptions(threshold=threshold)
    name = without_credentials(os.fspath(source)) if isinstance(source, str | os.PathLike) else _name(source)
    bundle = model if isinstance(model, ModelBundle) else trial.open_bundle(model)
    with Classifier(bundle, hop=hop, source_name=name) as classifier:
        manifest = classifier.bundle.manifest
        stream = Stream(
            lambda: open_source(source, **source_options),
            classifier,
            Decider(manifest.labels, rules, manifest.decision),
            name=name,
        )
        sink = CallbackSink(on_prediction=on_prediction, on_event=on_event, on_status=on_status)
        runner = Runner([stream], [sink], RunnerOptions(duration_s=duration_s), on_tick=lambda: _check(stop, runner))
        runner.run()


def _check_functions(**functions: object) -> None:
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise ConfigError(f"{name} is {function!r}, it must be a function")


def _check(stop: threading.Event | None, runner: Runner) -> None:
    if stop is not None and stop.is_set():
        runner.stop()


def _name(source: Any) -> str:
    if isinstance(source, int):
        return f"camera:{source}"
    return str(getattr(source, "name", type(source).__name__))
