"""Make the outputs of a run from its configuration."""

from __future__ import annotations

import functools
import hashlib
from collections import ChainMap
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.events.options import thresholds_as_scores
from edgehar.hours import Hours
from edgehar.pipeline.build import keeps_clips
from edgehar.pipeline.camera_settings import source_name
from edgehar.pipeline.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgehar.config import Config
    from edgehar.health.monitor import Monitor
    from edgehar.model.manifest import Manifest
    from edgehar.pipeline.fleet_settings import FleetSettings
    from edgehar.records import Event
    from edgehar.sinks.base import Sink
    from edgehar.sinks.mqtt.agent import AgentLinks, FleetAgent
    from edgehar.sinks.mqtt.commands import Command
    from edgehar.sinks.mqtt.sink import MqttSink
    from edgehar.sinks.spool.queue import Spool


@dataclass(frozen=True)
class Sinks:
    """The sinks of a configuration.

    Attributes:
        all: every sink.
        mqtt: the sink of MQTT among them, which also sends pictures; None if there is none.
    """

    all: list[Sink]
    mqtt: MqttSink | None


def make_sinks(
    config: Config,
    streams: list[Stream],
    monitor: Monitor,
    on_command: Callable[[Command], None],
    settings: FleetSettings | None = None,
) -> Sinks:
    """Open every sink of the configuration, and add its queue to the statuses.

    Args:
        config: the configuration.
        streams: the streams.
        monitor: gets the sizes of queues.
        on_command: called with each command over MQTT.
        settings: changes the configuration for an operator of a fleet; None if there is no file.
    """
    sinks, mqtt = _local_sinks(config), None
    try:
        if config.mqtt.url is not None:
            mqtt = _mqtt_sink(config, streams, monitor, on_command, settings)
            sinks.append(mqtt)
        if config.webhook.url is not None:
            sinks.append(_webhook_sink(config, monitor))
        if config.notify.urls or config.notify.urls_file is not None:
            sinks.append(_notify_sink(config, streams, monitor))
        if config.history.enabled:
            sinks.append(_history_sink(config, streams))
        if config.inbox.enabled:
            sinks.append(_inbox_sink(config, streams))
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    return Sinks(sinks, mqtt)


def _notify_sink(config: Config, streams: list[Stream], monitor: Monitor) -> Sink:
    from edgehar.delivery.messages import apprise_sender
    from edgehar.delivery.notify import NotifySink

    by_name = {stream.name: stream for stream in streams}

    def picture_of(event: Event) -> bytes | None:
        stream = by_name.get(event.source)
        # Sealed pictures leave the device sealed or not at all.
        if stream is None or config.record.seal_to:
            return None
        return _recorded_picture(config, event) if event.phase == "uploaded" else stream.picture_of(event)

    hours = {
        source_name(camera): Hours(f"camera {source_name(camera)}: notify_hours", camera.notify_hours)
        for camera in config.cameras
        if camera.notify_hours
    }
    sink = NotifySink(config.notify, apprise_sender(config.notify), picture_of=picture_of, hours=hours)
    monitor.add_gauge("connected", lambda: sink.connected, sink.name)
    monitor.add_gauge("notifications", lambda: sink.sent)
    monitor.add_gauge("notifications_failed", lambda: sink.failed)
    return sink


def _recorded_picture(config: Config, event: Event) -> bytes | None:
    """Return the picture that was recorded of an event; None if it is not there any more."""
    assert config.record.directory is not None
    assert event.clip is not None
    path = Path(config.record.directory).expanduser() / event.clip
    try:
        return path.with_suffix(".jpg").read_bytes()
    except OSError:
        return None


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


def _mqtt_sink(
    config: Config,
    streams: list[Stream],
    monitor: Monitor,
    on_command: Callable[[Command], None],
    settings: FleetSettings | None,
) -> MqttSink:
    from edgehar.sinks.mqtt.device import DeviceReport, ModelInUse
    from edgehar.sinks.mqtt.discovery import PublishedStream
    from edgehar.sinks.mqtt.options import read_broker
    from edgehar.sinks.mqtt.sink import MqttSink
    from edgehar.sinks.spool.queue import Spool

    spool = Spool.open(f"mqtt-{_digest(read_broker(config.mqtt).client_id)}", config.spool)
    # Sealed pictures leave the device sealed or not at all.
    pictures, least_s = config.mqtt.pictures and not config.record.seal_to, config.mqtt.update_every_s
    published = [
        PublishedStream(
            source=stream.name,
            labels=stream.classifier.bundle.manifest.labels,
            actions=stream.decider.actions,
            model=stream.classifier.bundle.manifest.name,
            name=(camera.name or "") if len(streams) > 1 else "",
            answer_every_s=max(least_s, stream.classifier.hop / stream.classifier.bundle.manifest.temporal.rate_hz),
            status_every_s=max(least_s, config.health.status_every_s),
            snapshots=stream.view.pictures != "none",
            picture_of=stream.picture_of if pictures and stream.view.pictures != "none" else None,
        )
        for stream, camera in zip(streams, config.cameras, strict=True)
    ]

    def models() -> list[ModelInUse]:
        return [
            ModelInUse(running.classifier.bundle.manifest.name, _hash(running.classifier.bundle.path), stream.name)
            for stream, running in zip(published, streams, strict=True)
        ]

    sink = MqttSink(
        config.mqtt,
        spool=spool,
        streams=published,
        settings=settings_of(streams),
        on_command=on_command,
        device=DeviceReport(models, orders=config.mqtt.fleet),
        make_agent=partial(_make_agent, config, settings) if config.mqtt.fleet else None,
    )
    _add_gauges(monitor, "mqtt", spool, lambda: sink.connected)
    return sink


def _make_agent(config: Config, settings: FleetSettings | None, base_topic: str, links: AgentLinks) -> FleetAgent:
    from edgehar.model.takeover import Takeovers
    from edgehar.pipeline.models import models_folder
    from edgehar.sinks.mqtt.agent import AgentOptions, FleetAgent

    folder = models_folder(config)
    models = [config.model_of(camera) for camera in config.cameras]
    options = AgentOptions(folder.with_name("fleet"), base_topic, models, config.models.trusted_keys)
    return FleetAgent(options, Takeovers(folder), links, settings=settings)


@functools.cache
def _hash(bundle: Path) -> str:
    """Return the SHA-256 of a bundle when it was loaded; empty if it has gone."""
    from edgehar.recording.store import sha256_of

    try:
        return sha256_of(bundle)
    except OSError:
        return ""


def settings_of(streams: list[Stream]) -> dict[str, bool | float]:
    """Return what commands can set: `enabled`, and `threshold` if all actions of all streams have the same."""
    settings: dict[str, bool | float] = {"enabled": all(stream.enabled for stream in streams)}
    thresholds = {stream.decider.threshold for stream in streams}
    if len(thresholds) == 1 and (threshold := thresholds.pop()) is not None:
        settings["threshold"] = threshold
    return settings


def _webhook_sink(config: Config, monitor: Monitor) -> Sink:
    from edgehar.sinks.spool.queue import Spool
    from edgehar.sinks.webhook.options import read_receiver
    from edgehar.sinks.webhook.sink import WebhookSink

    receiver = read_receiver(config.webhook)
    spool = Spool.open(f"webhook-{_digest(receiver.where + receiver.target)}", config.spool)
    sink = WebhookSink(config.webhook, spool)
    _add_gauges(monitor, "webhook", spool, lambda: sink.connected)
    return sink


def _history_sink(config: Config, streams: list[Stream]) -> Sink:
    from edgehar.teaching.history import history_folder
    from edgehar.teaching.history_sink import HistorySink

    folder = history_folder(config.history, config.spool.directory)
    return HistorySink(folder, config.history, _manifests(streams))


def _inbox_sink(config: Config, streams: list[Stream]) -> Sink:
    from edgehar.teaching.inbox import Inbox, inbox_folder
    from edgehar.teaching.inbox_clips import RingClips
    from edgehar.teaching.inbox_sink import InboxSink, WatchedCamera

    cameras = {}
    for camera, stream in zip(config.cameras, streams, strict=True):
        stream.classifier.keep_features = True
        wanted = keeps_clips(config, camera) and stream.recording is not None
        clips = RingClips(stream.recording.ring) if wanted and stream.recording is not None else None
        cameras[stream.name] = WatchedCamera(stream.classifier.hop, partial(_thresholds, stream), clips)
    inbox = Inbox(inbox_folder(config.inbox, config.spool.directory))
    return InboxSink(inbox, config.inbox, cameras, _manifests(streams))


def _thresholds(stream: Stream) -> dict[str, float]:
    return thresholds_as_scores(stream.decider.rules, stream.decider.actions)


def _manifests(streams: list[Stream]) -> Mapping[str, Manifest]:
    """Return the manifests by the first digits of the SHA-256 of their head; it grows when another head takes over."""
    return ChainMap(*(stream.models for stream in streams))


def _add_gauges(monitor: Monitor, name: str, spool: Spool, connected: Callable[[], bool]) -> None:
    monitor.add_gauge("spool_depth", lambda: spool.depth, name)
    monitor.add_gauge("spool_dropped", lambda: spool.dropped, name)
    monitor.add_gauge("spool_refused", lambda: spool.refused, name)
    monitor.add_gauge("connected", connected, name)


def _digest(text: str) -> str:
    """Return a file name that is unique to a receiver and hides its address."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
