"""Checks of a configuration that need the machine: whether its models and files exist, and fit together."""

from __future__ import annotations

import glob
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgehar.config.settings import plain_settings, tables_of
from edgehar.config.words import dotted
from edgehar.errors import EdgeharError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgehar.config.options import CameraOptions, Config


def problems_here(config: Config) -> list[str]:
    """Return one line for each model or file that cannot be used. Opens no camera, and connects to no broker."""
    found = [problem for number, camera in enumerate(config.cameras) for problem in _of_camera(config, number, camera)]
    unreadable = list(_unreadable(config))
    found += unreadable
    found += _of_outputs(config)
    # Reading the addresses opens the same files.
    found += [] if unreadable else _of_receivers(config)
    return list(dict.fromkeys(found))


def _of_receivers(config: Config) -> Iterator[str]:
    """Yield problems of addresses, credentials and certificates."""
    from edgehar.sinks.mqtt.options import read_broker
    from edgehar.sinks.webhook.options import read_body, read_receiver

    if config.mqtt.url is not None:
        yield from _error_of(lambda: read_broker(config.mqtt))
    if config.webhook.url is not None:
        yield from _error_of(lambda: read_receiver(config.webhook))
        yield from _error_of(lambda: read_body(config.webhook))
    yield from _of_recordings(config)


def _error_of(work: Callable[[], object]) -> Iterator[str]:
    try:
        work()
    except EdgeharError as error:
        yield str(error)


def _of_recordings(config: Config) -> Iterator[str]:
    """Yield problems of keys and addresses of recordings."""
    from edgehar.delivery.servers import open_target
    from edgehar.delivery.target import read_address
    from edgehar.recording.seal import Sealer

    if config.record.seal_to:
        yield from _error_of(lambda: Sealer(config.record.seal_to))
    if config.notify.urls or config.notify.urls_file is not None:
        from edgehar.delivery.messages import Messages, apprise_sender
        from edgehar.hours import Hours

        yield from _error_of(lambda: Messages(config.notify))
        yield from _error_of(lambda: Hours("notify: quiet_hours", config.notify.quiet_hours))
        yield from _error_of(lambda: apprise_sender(config.notify))
    if config.upload.url is not None:
        yield from _error_of(lambda: open_target(read_address(config.upload), config.upload).close())


def _of_hours(number: int, camera: CameraOptions) -> Iterator[str]:
    """Yield problems of times of the week."""
    from edgehar.hours import Hours

    for name in ("watch_hours", "record_hours", "notify_hours"):
        yield from _error_of(partial(Hours, dotted(("camera", number, name)), getattr(camera, name)))


def _of_outputs(config: Config) -> Iterator[str]:
    """Yield problems of folders that are written to."""
    if config.file.path is not None and not Path(config.file.path).parent.is_dir():
        yield f"file.path: {config.file.path}: its folder does not exist; create it"
    if config.spool.directory is not None:
        folder = Path(config.spool.directory)
        if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
            yield f"spool.directory: {folder}: is not a folder that this user can write to"


def _of_camera(config: Config, number: int, camera: CameraOptions) -> Iterator[str]:
    from edgehar.events.decider import Decider
    from edgehar.model import signature
    from edgehar.model.bundle import ModelBundle

    path = plain_settings(type(camera))["source"].is_path(camera.source)
    # Devices come and go, and are reported by `edgehar doctor`.
    if path and not camera.source.startswith("/dev/") and not _exists(camera.source):
        yield f"{dotted(('camera', number, 'source'))}: {camera.source}: no such file or folder"
    yield from _of_hours(number, camera)
    where = "model" if camera.model is None else dotted(("camera", number, "model"))
    try:
        bundle = ModelBundle.open(config.model_of(camera))
        if config.models.require_signed:
            signature.require(bundle, config.models.trusted_keys)
        manifest = bundle.manifest
    except EdgeharError as error:
        yield f"{where}: {error}"
        return
    hop, window = config.hop_of(camera), manifest.temporal.window
    if hop is not None and hop > window:
        where = "hop" if camera.hop is None else dotted(("camera", number, "hop"))
        yield f"{where} is {hop}, it must be a whole number from 1 to {window} (the window of {manifest.name})"
    try:
        Decider(manifest.labels, config.decision_of(camera), manifest.decision)
    except EdgeharError as error:
        yield f"{dotted(('camera', number))}: {error}"


def _exists(path: str) -> bool:
    try:
        return os.path.lexists(path) or next(glob.iglob(path), None) is not None  # noqa: PTH207 - a pattern in any folder
    except (OSError, ValueError):
        return False


def _unreadable(struct: msgspec.Struct, path: tuple[str | int, ...] = ()) -> Iterator[str]:
    """Yield the input files that cannot be read."""
    for name, setting in plain_settings(type(struct)).items():
        value = getattr(struct, setting.field)
        if setting.is_input and isinstance(value, str) and not os.access(value, os.R_OK):
            why = "this user cannot read it" if Path(value).exists() else "no such file"
            yield f"{dotted((*path, name))}: {value}: {why}"
    for name, setting in tables_of(type(struct)).items():
        inner = getattr(struct, setting.field)
        if isinstance(inner, msgspec.Struct):
            yield from _unreadable(inner, (*path, name))
        elif isinstance(inner, list):
            for number, table in enumerate(inner):
                yield from _unreadable(table, (*path, name, number))
