"""From a configuration to what it asks for: streams with shared models, and sinks with their queues on disk."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from typing import TYPE_CHECKING

from edgehar.capture.governor import Governor
from edgehar.credentials import without_credentials
from edgehar.events.decider import Decider
from edgehar.model.classifier import Classifier
from edgehar.model.network import Network
from edgehar.pipeline.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.config import CameraOptions, Config
    from edgehar.health.monitor import Monitor
    from edgehar.model.bundle import ModelBundle
    from edgehar.recording.camera import CameraRecorder
    from edgehar.recording.recorder import Recorder
    from edgehar.sinks.base import Sink
    from edgehar.sinks.mqtt.commands import Command
    from edgehar.sources.base import PacketTap, Source

# The least share of the picture that a camera's resolution is raised for.
_LEAST_SHARE = 0.01


def load_networks(config: Config) -> dict[str, Network]:
    """Every model that some camera uses, loaded once, by the name or path it is given by."""
    models = dict.fromkeys(config.model_of(camera) for camera in config.cameras)
    return {model: Network(model, threads=config.threads, delegate=config.delegate) for model in models}


def make_recorder(config: Config) -> Recorder | None:
    """Return the recorder of events; None if recording is off."""
    if config.record.directory is None:
        return None
    from edgehar.recording.recorder import Recorder

    return Recorder(config.record)


def make_streams(
    config: Config, networks: dict[str, Network], monitor: Monitor, recorder: Recorder | None = None
) -> list[Stream]:
    """A stream for each camera. They run on one thread, so those of one rate share one governor."""
    governors: dict[float, Governor] = {}
    streams = []
    for camera in config.cameras:
        network = networks[config.model_of(camera)]
        rate_hz = network.bundle.manifest.temporal.rate_hz
        name = source_name(camera)
        recording = None if recorder is None else _recording(config, camera, network.bundle, recorder)
        streams.append(
            Stream(
                partial(_open_camera, camera, network.bundle, recording),
                Classifier(
                    network,
                    hop=config.hop_of(camera),
                    mode=config.mode,
                    source_name=name,
                    region=camera.region,
                    masks=config.view_of(camera).masks,
                ),
                make_decider(config, camera, network.bundle),
                name=name,
                reconnect=config.reconnect,
                governor=governors.setdefault(rate_hz, Governor(rate_hz, config.governor)),
                monitor=monitor,
                view=config.view_of(camera),
                recording=recording,
            )
        )
    return streams


def source_name(camera: CameraOptions) -> str:
    """How the records of a camera name it: as the configuration does, else by its address without credentials."""
    return camera.name or without_credentials(camera.source)


def make_decider(config: Config, camera: CameraOptions, bundle: ModelBundle) -> Decider:
    """Create the decider of a camera: its options over the defaults of its model."""
    return Decider(bundle.manifest.labels, config.decision_of(camera), bundle.manifest.decision)


def make_sinks(
    config: Config, streams: list[Stream], monitor: Monitor, on_command: Callable[[Command], None]
) -> list[Sink]:
    """Every sink that is asked for, each told of in the status."""
    sinks = _local_sinks(config)
    try:
        if config.mqtt.url is not None:
            sinks.append(_mqtt_sink(config, streams, monitor, on_command))
        if config.webhook.url is not None:
            sinks.append(_webhook_sink(config, monitor))
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    return sinks


def _recording(config: Config, camera: CameraOptions, bundle: ModelBundle, recorder: Recorder) -> CameraRecorder:
    from edgehar.recording.sidecar import Model
    from edgehar.recording.store import sha256_of

    model = Model(bundle.manifest.name, sha256_of(bundle.path), tuple(bundle.manifest.labels))
    return recorder.camera(source_name(camera), model, config.view_of(camera), realtime=camera.realtime)


def _open_camera(camera: CameraOptions, bundle: ModelBundle, tap: PacketTap | None) -> Source:
    from edgehar.sources import open_source

    shape = bundle.manifest.input
    # So much of the whole picture that its region still has the pixels the model wants.
    wide, high = (1.0, 1.0) if camera.region is None else camera.region[2:]
    target_size = (math.ceil(shape.height / max(high, _LEAST_SHARE)), math.ceil(shape.width / max(wide, _LEAST_SHARE)))
    source = open_source(camera.source, target_size=target_size, **camera.open_options())
    source.tap = tap
    return source


def _local_sinks(config: Config) -> list[Sink]:
    sinks: list[Sink] = []
    if config.output != "none":
        from edgehar.sinks.jsonl import JsonLinesSink, LineWriter, stdout_descriptor
        from edgehar.sinks.text import TextSink

        writer = LineWriter(stdout_descriptor(), "standard output")
        sinks.append(TextSink(writer) if config.output == "text" else JsonLinesSink(writer))
    if config.file.path is not None:
        from edgehar.sinks.files import FileSink

        sinks.append(FileSink(config.file))
    return sinks


def _mqtt_sink(config: Config, streams: list[Stream], monitor: Monitor, on_command: Callable[[Command], None]) -> Sink:
    from edgehar.sinks.mqtt.discovery import PublishedStream
    from edgehar.sinks.mqtt.options import read_broker
    from edgehar.sinks.mqtt.sink import MqttSink
    from edgehar.sinks.spool.queue import Spool

    spool = Spool.open(f"mqtt-{_digest(read_broker(config.mqtt).client_id)}", config.spool)
    watched = [
        PublishedStream(
            source=stream.name,
            labels=stream.classifier.bundle.manifest.labels,
            model=stream.classifier.bundle.manifest.name,
            name=(camera.name or "") if len(streams) > 1 else "",
            answer_every_s=stream.classifier.hop / stream.classifier.bundle.manifest.temporal.rate_hz,
            status_every_s=config.health.status_every_s,
        )
        for stream, camera in zip(streams, config.cameras, strict=True)
    ]
    settings = {"enabled": all(stream.enabled for stream in streams)}
    sink = MqttSink(config.mqtt, spool=spool, streams=watched, settings=settings, on_command=on_command)
    monitor.add_gauge("spool_depth", lambda: spool.depth, "mqtt")
    monitor.add_gauge("spool_dropped", lambda: spool.dropped, "mqtt")
    monitor.add_gauge("connected", lambda: sink.connected, "mqtt")
    return sink


def _webhook_sink(config: Config, monitor: Monitor) -> Sink:
    from edgehar.sinks.spool.queue import Spool
    from edgehar.sinks.webhook.options import read_receiver
    from edgehar.sinks.webhook.sink import WebhookSink

    receiver = read_receiver(config.webhook)
    spool = Spool.open(f"webhook-{_digest(receiver.where + receiver.target)}", config.spool)
    sink = WebhookSink(config.webhook, spool)
    monitor.add_gauge("spool_depth", lambda: spool.depth, "webhook")
    monitor.add_gauge("spool_dropped", lambda: spool.dropped, "webhook")
    monitor.add_gauge("connected", lambda: sink.connected, "webhook")
    return sink


def _digest(text: str) -> str:
    """A name for a file that tells receivers apart and does not show their address."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
