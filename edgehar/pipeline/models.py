"""The models of a run: loaded as configured, or as a takeover says, and kept so while it runs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import BundleError, EdgeharError
from edgehar.inspect import trial
from edgehar.model import signature
from edgehar.model.bundle import ModelBundle
from edgehar.model.network import Network
from edgehar.model.takeover import State, Takeovers
from edgehar.sinks.spool.options import state_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.config import Config
    from edgehar.events.decider import Decider
    from edgehar.pipeline.model_keeper import ModelKeeper
    from edgehar.pipeline.runner import Runner
    from edgehar.pipeline.stream import Stream

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedModel:
    """One model of a run.

    Attributes:
        network: what answers.
        configured: the bundle that the configuration names.
        state: the takeover state that the network is from.
    """

    network: Network
    configured: ModelBundle
    state: State


def models_folder(config: Config) -> Path:
    """Return the folder of models that took over."""
    if config.models.directory is not None:
        return Path(config.models.directory).expanduser()
    spool = config.spool.directory
    return (state_directory() if spool is None else Path(spool).expanduser()) / "models"


def load_models(config: Config) -> dict[str, LoadedModel]:
    """Load every model of the configuration once; returns them by the name or path that the configuration gives.

    A model that took over earlier is loaded in place of the configured one. If it cannot be used, the one before it is.

    Raises:
        EdgeharError: a configured model cannot be used.
    """
    names = dict.fromkeys(config.model_of(camera) for camera in config.cameras)
    return {name: _load(config, name) for name in names}


def _load(config: Config, name: str) -> LoadedModel:
    configured = ModelBundle.open(name)
    # Before the trial, which runs the networks.
    if config.models.require_signed:
        signature.require(configured, config.models.trusted_keys)
    trial.check(configured)
    if config.models.swap:
        takeovers = Takeovers(models_folder(config))
        try:
            state = takeovers.state(name)
        except BundleError as error:
            _log.error("%s", error)
            state = State(model=name)
        for installed in (state.active, *reversed(state.previous)):
            if installed is None:
                break
            try:
                bundle = takeovers.open(name, installed)
                if config.models.require_signed:
                    signature.require(bundle, config.models.trusted_keys)
                trial.check(bundle)
                network = Network(bundle, threads=config.threads, delegate=config.delegate)
            except EdgeharError as error:
                _log.error("%s: %s; using the model before it", name, error)
                continue
            _log.info("%s: %s answers (%s, %s)", name, bundle.manifest.name, state.note, state.changed)
            return LoadedModel(network, configured, State(model=name, active=installed))
    network = Network(configured, threads=config.threads, delegate=config.delegate)
    return LoadedModel(network, configured, State(model=name))


def make_keeper(
    config: Config,
    models: dict[str, LoadedModel],
    streams: list[Stream],
    runner: Runner,
    make_decider: Callable[[Stream, ModelBundle], Decider],
    on_change: Callable[[ModelBundle, ModelBundle], object],
) -> ModelKeeper | None:
    """Return what follows the takeovers of a run; None if `[models] swap` is off."""
    if not config.models.swap:
        return None
    from edgehar.pipeline.model_keeper import KeptModel, ModelKeeper

    cameras = {stream.name: camera for stream, camera in zip(streams, config.cameras, strict=True)}

    kept = []
    for name, model in models.items():
        own = [stream for stream in streams if config.model_of(cameras[stream.name]) == name]
        kept.append(KeptModel(name, model.configured, model.network, own, make_decider, model.state))
    return ModelKeeper(
        Takeovers(models_folder(config)),
        kept,
        config,
        request=runner.request,
        emit=runner.emit,
        on_change=on_change,
    )
