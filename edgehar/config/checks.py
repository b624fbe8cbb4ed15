"""What only the machine can tell of a configuration: whether its models and files are there and go together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgehar.config.settings import plain_settings, tables_of
from edgehar.config.words import dotted
from edgehar.errors import EdgeharError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.config.options import CameraOptions, Config


def problems_here(config: Config) -> list[str]:
    """One line for each model or file that cannot be used; no camera is opened, and no broker called."""
    found = [problem for number, camera in enumerate(config.cameras) for problem in _of_camera(config, number, camera)]
    unreadable = list(_unreadable(config))
    # Reading the addresses opens the same files.
    return list(dict.fromkeys([*found, *(unreadable or _of_receivers(config))]))


def _of_receivers(config: Config) -> Iterator[str]:
    """Addresses, log-ins and certificates that cannot be used."""
    from edgehar.sinks.mqtt.options import read_broker
    from edgehar.sinks.webhook.options import read_receiver

    try:
        if config.mqtt.url is not None:
            read_broker(config.mqtt)
    except EdgeharError as error:
        yield str(error)
    try:
        if config.webhook.url is not None:
            read_receiver(config.webhook)
    except EdgeharError as error:
        yield str(error)
    yield from _of_recordings(config)


def _of_recordings(config: Config) -> Iterator[str]:
    """Keys and addresses of recordings that cannot be used."""
    try:
        if config.record.seal_to:
            from edgehar.recording.seal import Sealer

            Sealer(config.record.seal_to)
        if config.upload.url is not None:
            from edgehar.delivery.target import open_target, read_address

            open_target(read_address(config.upload), config.upload).close()
    except EdgeharError as error:
        yield str(error)


def _of_camera(config: Config, number: int, camera: CameraOptions) -> Iterator[str]:
    from edgehar.events.decider import Decider
    from edgehar.model.bundle import ModelBundle

    where = "model" if camera.model is None else dotted(("camera", number, "model"))
    try:
        manifest = ModelBundle.open(config.model_of(camera)).manifest
    except EdgeharError as error:
        yield f"{where}: {error}"
        return
    hop, window = config.hop_of(camera), manifest.temporal.window
    if hop is not None and hop > window:
        where = "hop" if camera.hop is None else dotted(("camera", number, "hop"))
        yield f"{where} is {hop}, it must be 1 to {window} (the window of {manifest.name})"
    try:
        Decider(manifest.labels, config.decision_of(camera), manifest.decision)
    except EdgeharError as error:
        yield f"{dotted(('camera', number))}: {error}"


def _unreadable(struct: msgspec.Struct, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The files named by keys that end in `_file`."""
    for name, setting in plain_settings(type(struct)).items():
        value = getattr(struct, setting.field)
        if name.endswith("_file") and isinstance(value, str) and not os.access(value, os.R_OK):
            why = "cannot be read by this user" if Path(value).exists() else "there is no such file"
            yield f"{dotted((*path, name))}: {value}: {why}"
    for name, setting in tables_of(type(struct)).items():
        inner = getattr(struct, setting.field)
        if isinstance(inner, msgspec.Struct):
            yield from _unreadable(inner, (*path, name))
