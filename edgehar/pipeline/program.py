"""A running configuration: starts the streams and outputs, reloads, obeys commands, and reports its health."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, assert_never

import msgspec

from edgehar.config import diff
from edgehar.errors import EdgeharError
from edgehar.health.monitor import Monitor
from edgehar.pipeline import build, build_sinks, memory
from edgehar.pipeline.live_changes import change_streams
from edgehar.pipeline.models import make_keeper
from edgehar.pipeline.runner import Runner, RunnerOptions
from edgehar.sinks.mqtt.commands import SetEnabled, SetThreshold, TakeSnapshot
from edgehar.systemd.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.config import Config
    from edgehar.events.decider import Decider
    from edgehar.health.metrics_server import MetricsServer
    from edgehar.model.bundle import ModelBundle
    from edgehar.pipeline.fleet_settings import FleetSettings
    from edgehar.pipeline.pages import Pages
    from edgehar.pipeline.stream import Stream
    from edgehar.sinks.base import Sink
    from edgehar.sinks.mqtt.commands import Command
    from edgehar.web.services import Tools

_log = logging.getLogger(__name__)

# Time between two looks at the temperature.
_TEMPERATURE_EVERY_S = 5.0
# Time between two returns of freed memory to the system.
RELEASE_EVERY_S = 30.0
# Longest time for settings that an operator pushed to be applied, in seconds.
_APPLIED_S = 30.0
# Sections of the configuration whose change means other sinks.
_SINK_SECTIONS = frozenset({"output", "file", "mqtt", "webhook", "spool", "notify"})


class Program:
    """Everything that one configuration asks for, from the cameras to the sinks."""

    def __init__(
        self,
        config: Config,
        *,
        duration_s: float | None = None,
        max_predictions: int | None = None,
        read_config: Callable[[], Config] | None = None,
        release_every_s: float = RELEASE_EVERY_S,
        make_tools: Callable[[], Tools] | None = None,
    ) -> None:
        """Load the models and open the sinks; `run` opens the cameras.

        Args:
            config: the configuration.
            duration_s: stop after this much video (files), or this long after the start (live sources).
            max_predictions: stop after exactly this many predictions.
            read_config: reads the configuration again, for `reload`.
            release_every_s: time between two returns of freed memory to the system, in seconds.
            make_tools: makes what the pages need of the command line.

        Raises:
            EdgeharError: a model or output cannot be used.
        """
        self._config, self._read_config = config, read_config
        self._monitor, self._notifier = Monitor(), Notifier()
        self._shared = build.Shared.of(config, self._monitor)
        self._streams = build.make_streams(config, self._shared)
        self._uploader = build.make_uploader(config, self._shared, lambda event: self._runner.insert(event))
        self._pages = self._make_pages(make_tools)
        self._fleet_settings = self._make_fleet_settings(make_tools)
        self._runner = Runner(
            self._streams,
            self._make_sinks(config),
            RunnerOptions(
                duration_s=duration_s,
                max_predictions=max_predictions,
                status_every_s=config.health.status_every_s,
            ),
            on_tick=self._tick,
            on_end=self._notifier.stopping,
        )
        self._keeper = make_keeper(
            config, self._shared.models, self._streams, self._runner, self._make_decider, self._model_changed
        )
        self._monitor.add_gauge("queue_depth", lambda: self._runner.queue_depth)
        self._monitor.add_gauge("queue_dropped", lambda: self._runner.queue_dropped)
        self._metrics = self._serve_metrics()
        self._ready = False
        self._measured_s = 0.0
        self._release_every_s, self._released_s = release_every_s, time.monotonic()

    def run(self) -> None:
        """Run until the end; raises as `Runner.run` does."""
        self._monitor.start()
        if self._pages is not None:
            self._pages.start()
        if self._uploader is not None:
            self._uploader.start()
        if self._keeper is not None:
            self._keeper.start()
        try:
            self._runner.run()
        finally:
            # Each of these has a thread that may be waiting for a disk or a network that does not answer.
            left_s = self._runner.time_left_s
            if self._keeper is not None:
                self._keeper.close(left_s(2.0))
            if self._pages is not None:
                self._pages.close(left_s(3.0))
            if self._shared.recorder is not None:
                self._shared.recorder.close(left_s(5.0))
            if self._uploader is not None:
                self._uploader.close(left_s(2.0))
            if self._metrics is not None:
                self._metrics.close()
            self._monitor.close()
            for stream in self._streams:
                stream.classifier.close()
            for model in self._shared.models.values():
                model.network.close()

    def stop(self) -> None:
        """Request a clean end. Safe in a signal handler and from any thread."""
        self._runner.stop()

    def reload(self) -> None:
        """Request that the configuration is read again. Safe in a signal handler and from any thread."""
        self._runner.request(self._start_reload, wake=False)

    def _serve_metrics(self) -> MetricsServer | None:
        options = self._config.health
        if not options.prometheus_port:
            return None
        from edgehar.health.metrics_server import MetricsServer

        return MetricsServer(self._monitor, options)

    def _make_pages(self, make_tools: Callable[[], Tools] | None) -> Pages | None:
        if self._config.web.listen is None:
            return None
        from edgehar.web.server import check_installed

        check_installed()
        from edgehar.pipeline.pages import Pages
        from edgehar.web.services import Tools

        tools = Tools() if make_tools is None else make_tools()
        return Pages(self._config, self._streams, self._monitor, tools, self.reload)

    def _make_fleet_settings(self, make_tools: Callable[[], Tools] | None) -> FleetSettings | None:
        if not self._config.mqtt.fleet or make_tools is None or self._read_config is None:
            return None
        from edgehar.pipeline.fleet_settings import FleetSettings

        file = make_tools().settings
        return None if file is None else FleetSettings(file, self._reload_now)

    def _tick(self) -> None:
        """Report to systemd, adapt to the temperature, and return freed memory, each when it is due."""
        frames = sum(stream.frames for stream in self._streams)
        predictions = sum(stream.predictions for stream in self._streams)
        # With `at_start` a missing camera does not keep the service from being ready.
        resting = all(stream.resting for stream in self._streams)
        if not self._ready and (self._config.reconnect.at_start or frames or resting):
            self._ready = True
            self._notifier.ready(self._monitor.line())
        enabled = any(stream.enabled for stream in self._streams)
        self._notifier.progress(frames, predictions, answers_expected=enabled, frames_expected=not resting)
        now_s = time.monotonic()
        if now_s - self._measured_s >= _TEMPERATURE_EVERY_S:
            self._measured_s = now_s
            self._notifier.status(self._monitor.line())
            self._adapt_to_temperature()
        if now_s - self._released_s >= self._release_every_s:
            self._released_s = now_s
            memory.release_freed()

    def _adapt_to_temperature(self) -> None:
        readings = self._monitor.readings()
        for governor in self._shared.governors.values():
            change = governor.observe_temperature(readings.temperature_c, readings.throttled)
            if change is not None:
                names = ", ".join(stream.name for stream in self._streams if stream.governor is governor)
                _log.warning("%s: %s", names, change)

    def _start_reload(self) -> None:
        """Read the configuration in a thread, because a disk may stall, and apply it between two frames."""
        if self._read_config is None:
            _log.warning("there is no configuration file to read again; start with --config FILE")
            return
        self._notifier.reloading()
        threading.Thread(target=self._reload, name="edgehar-reload", daemon=True).start()

    def _reload_now(self) -> None:
        """Apply the configuration file, and return when that is done; not for the thread of the runner.

        Raises:
            EdgeharError: it cannot be applied.
        """
        assert self._read_config is not None
        config = self._read_config()
        outcome: queue.Queue[EdgeharError | None] = queue.Queue(1)

        def apply() -> None:
            try:
                self._change_to(config)
            except EdgeharError as error:
                outcome.put(error)
            else:
                outcome.put(None)

        self._runner.request(apply)
        try:
            error = outcome.get(timeout=_APPLIED_S)
        except queue.Empty:
            raise EdgeharError(f"the program did not apply the settings within {_APPLIED_S:g} s") from None
        if error is not None:
            raise error

    def _reload(self) -> None:
        assert self._read_config is not None
        try:
            config = self._read_config()
        except EdgeharError as error:
            _log.error("configuration unchanged: %s", error)
            self._runner.request(lambda: self._notifier.ready(self._monitor.line()))
        else:
            self._runner.request(lambda: self._apply(config))

    def _apply(self, config: Config) -> None:
        """Apply what can change in a running program. An invalid configuration changes nothing."""
        try:
            self._change_to(config)
        except EdgeharError as error:
            _log.error("configuration unchanged: %s", error)
        self._notifier.ready(self._monitor.line())

    def _change_to(self, config: Config) -> None:
        changes = diff(self._config, config)
        if not changes:
            _log.info("configuration read again; nothing has changed")
            return
        later = [change.section for change in changes if not change.live]
        if later:
            _log.warning("configuration unchanged: restart to apply changes in %s", ", ".join(later))
            return
        before = self._config
        self._runner.emit(change_streams(self._streams, before, config))
        if _SINK_SECTIONS & {change.section for change in changes} or _notify_hours(before) != _notify_hours(config):
            self._runner.replace_sinks(lambda: self._replacement_sinks(config, before))
        if self._mqtt is not None:
            self._mqtt.show_settings(build_sinks.settings_of(self._streams))
        self._config = config
        _log.info("configuration read again; changed: %s", ", ".join(change.section for change in changes))

    def _replacement_sinks(self, config: Config, before: Config) -> list[Sink]:
        """Open the sinks of a new configuration or, if that fails, those of the previous one."""
        for name in ("mqtt", "webhook"):
            self._monitor.remove_gauges(name)
        try:
            return self._make_sinks(config)
        except EdgeharError as error:
            _log.error("outputs unchanged: %s", error)
            return self._make_sinks(before)

    def _make_decider(self, stream: Stream, bundle: ModelBundle) -> Decider:
        """Make a decider for a model that is to answer, by the rules in force now."""
        camera = next(camera for camera, own in zip(self._config.cameras, self._streams, strict=True) if own is stream)
        return build.make_decider(self._config, camera, bundle)

    def _model_changed(self, before: ModelBundle, after: ModelBundle) -> None:
        """Open the sinks again if they announce labels that have changed."""
        config = self._config
        if before.manifest.labels != after.manifest.labels and config.mqtt.url is not None:
            self._runner.replace_sinks(lambda: self._replacement_sinks(config, config))

    def _make_sinks(self, config: Config) -> list[Sink]:
        sinks = build_sinks.make_sinks(config, self._streams, self._monitor, self._command, self._fleet_settings)
        self._mqtt = sinks.mqtt
        return sinks.all if self._pages is None else [*sinks.all, self._pages.sink()]

    def _command(self, command: Command) -> None:
        """Execute a command from MQTT between two frames."""
        self._runner.request(lambda: self._execute(command))

    def _execute(self, command: Command) -> None:
        match command:
            case SetEnabled(enabled):
                for stream in self._streams:
                    stream.enabled = enabled
            case SetThreshold(threshold):
                for stream in self._streams:
                    options = msgspec.structs.replace(stream.decider.options, threshold=threshold, thresholds={})
                    stream.decider.reconfigure(options)
            case TakeSnapshot():
                for stream in self._streams:
                    self._send_picture(stream)
            case _:
                assert_never(command)
        _log.info("command over MQTT: %s", command)

    def _send_picture(self, stream: Stream) -> None:
        if stream.last_frame is None or self._mqtt is None:
            return
        jpeg = stream.view.jpeg(stream.last_frame)
        if jpeg is None:
            _log.warning("%s: a snapshot was requested, but pictures are off", stream.name)
        else:
            self._mqtt.send_picture(stream.name, jpeg)


def _notify_hours(config: Config) -> list[list[str]]:
    """Return the hours of messages of each camera; none if no messages are sent."""
    sends = bool(config.notify.urls) or config.notify.urls_file is not None
    return [list(camera.notify_hours) for camera in config.cameras] if sends else []
