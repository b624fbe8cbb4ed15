"""Make the streams of a run from its configuration, with shared models, and the recorder and uploader."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edgehar.capture.governor import Governor
from edgehar.events.decider import Decider
from edgehar.model.bundle import ModelBundle
from edgehar.model.classifier import Classifier
from edgehar.pipeline.camera_settings import CameraSettings, source_name
from edgehar.pipeline.models import LoadedModel, load_models
from edgehar.pipeline.stream import Stream, StreamOptions, recorded_model
from edgehar.sources.options import AUTO_MODES

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.config import CameraOptions, Config
    from edgehar.delivery.uploader import Uploader
    from edgehar.health.monitor import Monitor
    from edgehar.recording.camera import CameraRecorder
    from edgehar.recording.recorder import Recorder
    from edgehar.records import Event

# Cameras send a picture in few slices, and only slices are decoded at once.
_MOST_DECODER_THREADS = 4


def make_recorder(config: Config, monitor: Monitor) -> Recorder | None:
    """Return the recorder of events; None if recording is off."""
    if config.record.directory is None:
        return None
    from edgehar.recording.recorder import Recorder

    recorder = Recorder(config.record)
    monitor.add_gauge("recordings", lambda: recorder.recorded)
    monitor.add_gauge("recordings_failed", lambda: recorder.failed)
    return recorder


def make_uploader(config: Config, shared: Shared, on_uploaded: Callable[[Event], bool]) -> Uploader | None:
    """Return the uploader of recordings; None if nothing is uploaded.

    Args:
        config: the configuration.
        shared: has the recorder, and the monitor that counts uploads.
        on_uploaded: takes the record of each clip that the server has; False if the program ends.
    """
    recorder = shared.recorder
    if recorder is None or config.upload.url is None:
        return None
    from edgehar.delivery.uploader import Uploader
    from edgehar.recording.store import Archive

    uploader = Uploader(Archive(recorder.folder), config.upload, on_uploaded=on_uploaded)
    recorder.on_recorded = uploader.add
    shared.monitor.add_gauge("uploads", lambda: uploader.uploaded)
    shared.monitor.add_gauge("uploads_waiting", lambda: uploader.waiting)
    return uploader


@dataclass(frozen=True)
class Shared:
    """The parts that the streams of a run share.

    Attributes:
        models: the models, by the name or path that the configuration gives.
        governors: one for each rate, by the rate in Hz, because all streams run on one thread.
        monitor: gets the counts of all streams.
        recorder: records events; None if recording is off.
    """

    models: dict[str, LoadedModel]
    governors: dict[float, Governor]
    monitor: Monitor
    recorder: Recorder | None

    @classmethod
    def of(cls, config: Config, monitor: Monitor) -> Shared:
        """Load the models of a configuration, and make the other parts."""
        models = load_models(config)
        rates_hz = dict.fromkeys(model.network.bundle.manifest.temporal.rate_hz for model in models.values())
        modes = AUTO_MODES if any(camera.decode == "auto" for camera in config.cameras) else None
        governors = {rate_hz: Governor(rate_hz, config.governor, decode_modes=modes) for rate_hz in rates_hz}
        return cls(models, governors, monitor, make_recorder(config, monitor))


def make_streams(config: Config, shared: Shared) -> list[Stream]:
    """Make a stream for each camera, in the configuration's order."""
    return [_make_stream(config, camera, shared) for camera in config.cameras]


def _make_stream(config: Config, camera: CameraOptions, shared: Shared) -> Stream:
    network = shared.models[config.model_of(camera)].network
    name, bundle, view = source_name(camera), network.bundle, config.view_of(camera)
    settings = CameraSettings(camera)
    recording = _recorder_of(config, settings, bundle, shared)
    classifier = Classifier(
        network,
        hop=config.hop_of(camera),
        mode=config.mode,
        source_name=name,
        region=camera.region,
        masks=view.masks,
    )
    return Stream(
        partial(settings.open, bundle, recording, decoder_threads(len(config.cameras))),
        classifier,
        make_decider(config, camera, bundle),
        name=name,
        monitor=shared.monitor,
        options=StreamOptions(
            reconnect=config.reconnect,
            governor=shared.governors[bundle.manifest.temporal.rate_hz],
            view=view,
            recording=recording,
            settings=settings,
        ),
    )


def _recorder_of(
    config: Config, settings: CameraSettings, bundle: ModelBundle, shared: Shared
) -> CameraRecorder | None:
    """Return what keeps the last seconds of video, for recordings, for clips of the inbox, or for both."""
    camera = settings.camera
    if shared.recorder is not None:
        return _recording(config, settings, bundle, shared.recorder)
    if not keeps_clips(config, camera):
        return None
    from edgehar.recording.camera import CameraRecorder
    from edgehar.recording.options import RecordOptions

    options = RecordOptions(pre_roll_s=2 * config.inbox.seconds)
    view = config.view_of(camera)
    return CameraRecorder(
        source_name(camera), recorded_model(bundle), view, options, accepts=lambda: False, realtime=camera.realtime
    )


def keeps_clips(config: Config, camera: CameraOptions) -> bool:
    """Return whether the inbox keeps clips of a camera."""
    return config.inbox.enabled and config.inbox.keep == "clips" and config.view_of(camera).pictures != "none"


def make_decider(config: Config, camera: CameraOptions, bundle: ModelBundle) -> Decider:
    """Create the decider of a camera: its options over the defaults of its model."""
    return Decider(bundle.manifest.labels, config.decision_of(camera), bundle.manifest.decision)


def _recording(config: Config, settings: CameraSettings, bundle: ModelBundle, recorder: Recorder) -> CameraRecorder:
    model, camera = recorded_model(bundle), settings.camera
    recording = recorder.camera(
        source_name(camera),
        model,
        config.view_of(camera),
        realtime=camera.realtime,
        wanted=settings.records_now,
    )
    if camera.record_source is not None:
        from edgehar.sources.options import VideoOptions, make_options

        names = ("transport", "tls_verify", "ca_file")
        recording.record_from(
            camera.record_source, make_options(VideoOptions, {name: getattr(camera, name) for name in names})
        )
    return recording


def decoder_threads(cameras: int) -> int:
    """Return the threads of each decoder: the cores, shared among the cameras. More would only cost memory."""
    return max(1, min(len(os.sched_getaffinity(0)) // cameras, _MOST_DECODER_THREADS))
