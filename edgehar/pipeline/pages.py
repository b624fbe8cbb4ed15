"""The pages of a run: what they may see of its streams."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.model.takeover import Takeovers
from edgehar.pipeline.build import keeps_clips
from edgehar.pipeline.models import models_folder
from edgehar.recording.store import safe_name
from edgehar.teaching.history import history_folder
from edgehar.teaching.inbox import inbox_folder
from edgehar.web.board import Board, BoardSink
from edgehar.web.camera import WebCamera
from edgehar.web.classroom import Classroom, TaughtModel, TeachingPlaces
from edgehar.web.server import WebServer
from edgehar.web.services import Parts
from edgehar.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from edgehar.config import Config
    from edgehar.health.monitor import Monitor
    from edgehar.model.manifest import Manifest
    from edgehar.pipeline.stream import Stream
    from edgehar.web.camera import TakeInput
    from edgehar.web.classroom import Teacher
    from edgehar.web.services import Tools


class Pages:
    """The web server of a run, and the sink that keeps it up to date.

    Attributes:
        server: listens from construction on.
    """

    def __init__(
        self,
        config: Config,
        streams: list[Stream],
        monitor: Monitor,
        tools: Tools,
        reload: Callable[[], object],
    ) -> None:
        """Make the pages of some streams.

        Args:
            config: the configuration.
            streams: what is shown.
            monitor: counts of the outputs.
            tools: what the command line gives.
            reload: has the run read its configuration again; safe from any thread.

        Raises:
            ConfigError: the password or certificate cannot be used.
            SinkError: the address or port cannot be used.
        """
        cameras = [_camera(stream) for stream in streams]
        self._board = Board(cameras)
        folder = config.record.directory
        parts = Parts(
            cameras=cameras,
            board=self._board,
            monitor=monitor,
            folder=None if folder is None else Path(folder).expanduser().resolve(),
            classroom=_classroom(config, streams, tools.teacher),
            history=history_folder(config.history, config.spool.directory) if config.history.enabled else None,
            uploads=config.upload.url is not None,
            tools=tools,
            reload=reload,
        )
        self._log = parts.log
        self.server = WebServer(Site(config.web, parts), config.web)

    def start(self) -> None:
        """Begin to serve."""
        self._log.start()
        self.server.start()

    def close(self, timeout_s: float) -> None:
        """Stop serving, and wait up to `timeout_s` for answers in progress."""
        self.server.close(timeout_s)
        self._log.stop()

    def sink(self) -> BoardSink:
        """Return a sink that shows records on the pages. The pages outlive it."""
        return BoardSink(self._board)


def _camera(stream: Stream) -> WebCamera:
    return WebCamera(
        name=stream.name,
        key=safe_name(stream.name),
        read_manifest=partial(_manifest, stream),
        bundle_path=lambda: stream.classifier.bundle.path,
        read_view=lambda: stream.view,
        frame=lambda: stream.last_frame,
        take_input=partial(_take_input, stream),
        state=lambda: stream.state,
        status=stream.status,
        rules=lambda: stream.decider.rules,
    )


def _classroom(config: Config, streams: list[Stream], teacher: Teacher | None) -> Classroom | None:
    if teacher is None:
        return None
    folder = models_folder(config)
    places = TeachingPlaces(
        inbox=inbox_folder(config.inbox, config.spool.directory) if config.inbox.enabled else None,
        clips=any(keeps_clips(config, camera) for camera in config.cameras),
        recordings=None if config.record.directory is None else Path(config.record.directory).expanduser(),
        # In the folder of the models, which the service may write.
        taught=folder / "taught",
        takeovers=Takeovers(folder),
        swap=config.models.swap,
        trusted_keys=config.models.trusted_keys,
        require_signed=config.models.require_signed,
    )
    by_model: dict[str, list[Stream]] = {}
    for stream, camera in zip(streams, config.cameras, strict=True):
        by_model.setdefault(config.model_of(camera), []).append(stream)
    models = [
        TaughtModel(name, tuple(stream.name for stream in own), partial(_manifest, own[0]))
        for name, own in by_model.items()
    ]
    return Classroom(places, models, teacher)


def _manifest(stream: Stream) -> Manifest:
    return stream.classifier.bundle.manifest


def _take_input(stream: Stream, take: TakeInput) -> None:
    """Have the next input of the network taken, once, because its copy costs time while frames wait."""

    def once(codes: npt.NDArray[np.int8]) -> None:
        stream.classifier.on_input = None
        take(codes)

    stream.classifier.on_input = once
