"""A configuration at work: it runs, it can be reloaded and commanded, and it says how it is doing."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, assert_never, cast

import msgspec

from edgehar.config import diff
from edgehar.errors import EdgeharError
from edgehar.health.monitor import Monitor
from edgehar.pipeline import build as assembly
from edgehar.pipeline import memory
from edgehar.pipeline.runner import Runner
from edgehar.sinks.mqtt.commands import SetEnabled, SetThreshold, TakeSnapshot
from edgehar.systemd.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.config import Config
    from edgehar.health.metrics_server import MetricsServer
    from edgehar.sinks.base import Sink
    from edgehar.sinks.mqtt.commands import Command
    from edgehar.sinks.mqtt.sink import MqttSink

_log = logging.getLogger(__name__)

# How often the machine is asked how hot it is.
_TEMPERATURE_EVERY_S = 5.0
# How often freed memory goes back to the system.
_RELEASE_EVERY_S = 30.0
# Sections whose change is a change of sinks.
_SINK_SECTIONS = frozenset({"output", "file", "mqtt", "webhook", "spool"})


class Program:
    """Everything one configuration asks for, from the cameras to the last sink."""

    def __init__(
        self,
        config: Config,
        *,
        duration_s: float | None = None,
        max_predictions: int | None = None,
        read_config: Callable[[], Config] | None = None,
    ) -> None:
        """Load the models and connect the sinks; `run` opens the cameras.

        Args:
            config: what is asked for.
            duration_s: stop after this much video (files), or this long after the start (live sources).
            max_predictions: stop after exactly this many predictions.
            read_config: gives the configuration anew, for `reload`.

        Raises:
            EdgeharError: something cannot be had.
        """
        self._config, self._read_config = config, read_config
        self._monitor, self._notifier = Monitor(), Notifier()
        self._networks = assembly.load_networks(config)
        self._recorder = assembly.make_recorder(config)
        self._streams = assembly.make_streams(config, self._networks, self._monitor, self._recorder)
        self._runner = Runner(
            self._streams,
            self._make_sinks(config),
            duration_s=duration_s,
            max_predictions=max_predictions,
            status_every_s=config.health.status_every_s,
            on_tick=self._tick,
            on_end=self._notifier.stopping,
        )
        self._monitor.add_gauge("queue_depth", lambda: self._runner.queue_depth)
        self._metrics = self._serve_metrics()
        self._ready = False
        self._measured_s = 0.0
        self._released_s = time.monotonic()

    def run(self) -> None:
        """Run until the end; raises as `Runner.run` does."""
        try:
            self._runner.run()
        finally:
            if self._recorder is not None:
                self._recorder.close()
            if self._metrics is not None:
                self._metrics.close()
            for stream in self._streams:
                stream.classifier.close()
            for network in self._networks.values():
                network.close()

    def stop(self) -> None:
        """Ask for a clean end. Safe from a signal handler and any thread."""
        self._runner.stop()

    def reload(self) -> None:
        """Ask for the configuration to be read again. Safe from a signal handler and any thread."""
        self._runner.request(self._reload, at_once=False)

    def _serve_metrics(self) -> MetricsServer | None:
        options = self._config.health
        if not options.prometheus_port:
            return None
        from edgehar.health.metrics_server import MetricsServer

        return MetricsServer(self._monitor, options)

    def _tick(self) -> None:
        """Some times a second: tell systemd, look how hot it is, and keep no memory that is not needed."""
        # With `at_start` a camera may be long in coming, and the service is no worse for that.
        if not self._ready and (self._config.reconnect.at_start or any(stream.frames for stream in self._streams)):
            self._ready = True
            self._notifier.ready(self._monitor.line())
        frames, answers = (sum(getattr(s, what) for s in self._streams) for what in ("frames", "predictions"))
        self._notifier.progress(frames, answers, answers_expected=any(stream.enabled for stream in self._streams))
        now_s = time.monotonic()
        if now_s - self._measured_s >= _TEMPERATURE_EVERY_S:
            self._measured_s = now_s
            self._notifier.status(self._monitor.line())
            readings = self._monitor.readings()
            for stream in {id(s.governor): s for s in self._streams if s.governor is not None}.values():
                assert stream.governor is not None
                stream.say_change(stream.governor.observe_temperature(readings.temperature_c, readings.throttled))
        if now_s - self._released_s >= _RELEASE_EVERY_S:
            self._released_s = now_s
            memory.release_freed()

    def _reload(self) -> None:
        """Read the configuration and apply what can be; a wrong one changes nothing."""
        if self._read_config is None:
            _log.warning("there is no configuration file to read again; start with --config FILE")
            return
        self._notifier.reloading()
        try:
            self._apply(self._read_config())
        except EdgeharError as error:
            _log.error("the configuration stays as it was: %s", error)
        self._notifier.ready(self._monitor.line())

    def _apply(self, config: Config) -> None:
        changes = diff(self._config, config)
        if not changes:
            _log.info("the configuration is read again; nothing has changed")
            return
        later = [change.section for change in changes if not change.live]
        if later:
            _log.warning("start again for changes in %s to hold; until then nothing changes", ", ".join(later))
            return
        deciders = [
            assembly.make_decider(config, camera, stream.classifier.bundle)
            for camera, stream in zip(config.cameras, self._streams, strict=True)
        ]
        if _SINK_SECTIONS & {change.section for change in changes}:
            before = self._config
            self._runner.replace_sinks(lambda: self._sinks_of(config, before))
        for stream, decider in zip(self._streams, deciders, strict=True):
            stream.decider.reconfigure(decider.options)
        self._config = config
        _log.info("the configuration is read again; changed: %s", ", ".join(change.section for change in changes))

    def _sinks_of(self, config: Config, before: Config) -> list[Sink]:
        """The sinks of a new configuration, or, when they cannot be had, those of the one before."""
        for name in ("mqtt", "webhook"):
            self._monitor.remove_gauges(name)
        try:
            return self._make_sinks(config)
        except EdgeharError as error:
            _log.error("results go where they went before: %s", error)
            return self._make_sinks(before)

    def _make_sinks(self, config: Config) -> list[Sink]:
        sinks = assembly.make_sinks(config, self._streams, self._monitor, self._command)
        self._mqtt = cast("MqttSink | None", next((sink for sink in sinks if sink.name == "mqtt"), None))
        return sinks

    def _command(self, command: Command) -> None:
        """Execute a command from MQTT between two frames."""
        self._runner.request(lambda: self._execute(command))

    def _execute(self, command: Command) -> None:
        for stream in self._streams:
            match command:
                case SetEnabled(enabled):
                    stream.enabled = enabled
                case SetThreshold(threshold):
                    options = msgspec.structs.replace(stream.decider.options, threshold=threshold, thresholds={})
                    stream.decider.reconfigure(options)
                case TakeSnapshot():
                    if stream.last_frame is not None and self._mqtt is not None:
                        self._send_picture(self._mqtt, stream.name, stream.view.jpeg(stream.last_frame))
                case _:
                    assert_never(command)

    def _send_picture(self, mqtt: MqttSink, name: str, jpeg: bytes | None) -> None:
        if jpeg is None:
            _log.warning("%s: a snapshot was requested, but pictures are off", name)
        else:
            mqtt.send_picture(name, jpeg)
