"""The parts of `edgehar bench`, one after another."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import cv2

from edgehar.bench import machine, mjpeg, model, peers, preprocess, targets, threads
from edgehar.bench.frames import FramePool, pool_bytes
from edgehar.bench.results import Method, Report, Temperature
from edgehar.bench.timing import Protocol
from edgehar.errors import ConfigError
from edgehar.inspect import trial
from edgehar.model.bundle import ModelBundle
from edgehar.records import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgehar.bench.results import Jpeg, Model, Peers, Preprocess, Threads

    # Called with the part that begins and its details.
    Say: TypeAlias = Callable[[str, str], None]

_TEMPERATURES: tuple[Temperature, ...] = ("cold", "hot")
_QUICK = Protocol(rounds=3, turn_s=0.002)


@dataclass(frozen=True)
class BenchOptions:
    """Options of `edgehar bench`.

    Attributes:
        parts: names of `edgehar.cli.bench.PARTS`.
        size: rows and columns to resize frames to.
        model: path of a bundle, or name of a shipped model.
        peers: TFLite files of other networks.
        rounds: turns of each contender; None for the protocol's default.
        quick: whether to measure few and short turns.
    """

    parts: frozenset[str]
    size: int
    model: str
    peers: tuple[Path, ...] = ()
    rounds: int | None = None
    quick: bool = False

    @property
    def protocol(self) -> Protocol:
        """The number of rounds and calls."""
        usual = _QUICK if self.quick else Protocol()
        return Protocol(self.rounds or usual.rounds, usual.turn_s)


def run(options: BenchOptions, say: Say) -> Report:
    """Measure all parts.

    Args:
        options: what to measure.
        say: called with the part that begins, and what it measures.

    Raises:
        ConfigError: the file of a peer is missing, or the model is unknown.
        BundleError: the model cannot be used.
        RuntimeUnavailableError: networks are to be measured, and no TFLite runtime is installed.
    """
    peers.check(options.peers)
    if "peers" in options.parts and not options.peers and len(options.parts) == 1:
        raise ConfigError("peers: no other network is given; add --peer FILE")
    bundle = trial.open_bundle(options.model) if options.parts & {"model", "peers"} else None
    # All contenders use one thread.
    threads_before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return _Run(options, say).report(bundle)
    finally:
        cv2.setNumThreads(threads_before)


class _Run:
    def __init__(self, options: BenchOptions, say: Say) -> None:
        self._options, self._say, self._protocol = options, say, options.protocol
        self._date, self._machine = utc_now(), machine.describe()
        self._load = os.getloadavg()[0]
        self._pool = FramePool(pool_bytes(self._machine.largest_cache_bytes, machine.free_bytes()))
        self._skipped: dict[str, str] = {}

    def report(self, bundle: ModelBundle | None) -> Report:
        shrunk, scaled, pictures = list(self._preprocess()), list(self._threads()), list(self._jpeg())
        return Report(
            report_version=1,
            date=self._date,
            machine=self._machine,
            method=self._method(),
            preprocess=shrunk,
            threads=scaled,
            jpeg=pictures,
            model=self._model(bundle),
            peers=self._peers(bundle),
            targets=targets.check(shrunk, pictures, scaled),
            skipped=self._skipped,
        )

    def _method(self) -> Method:
        return Method(
            rounds=self._protocol.rounds,
            turn_ms=self._protocol.turn_s * 1e3,
            threads=1,
            pool_bytes=self._pool.size,
            load=self._load,
            quick=self._options.quick,
        )

    def _preprocess(self) -> Iterator[Preprocess]:
        for case in preprocess.cases(self._options.size) if "preprocess" in self._options.parts else ():
            self._say("preprocess", str(case))
            yield preprocess.measure(case, self._pool, self._protocol)

    def _threads(self) -> Iterator[Threads]:
        if "threads" not in self._options.parts:
            return
        if self._machine.cores < 2:
            self._skipped["threads"] = "this process may use one core only"
            return
        for temperature in _TEMPERATURES:
            self._say("threads", f"two at once, {temperature}")
            yield threads.measure(temperature, self._options.size, self._pool, self._protocol)

    def _jpeg(self) -> Iterator[Jpeg]:
        for width, height in mjpeg.SIZES if "jpeg" in self._options.parts else ():
            self._say("jpeg", f"{width}x{height}")
            yield mjpeg.measure(width, height, self._options.size, self._protocol)

    def _model(self, bundle: ModelBundle | None) -> Model | None:
        if bundle is None or "model" not in self._options.parts:
            return None
        self._say("model", bundle.manifest.name)
        return model.measure(bundle, self._pool, self._protocol)

    def _peers(self, bundle: ModelBundle | None) -> Peers | None:
        if bundle is None or "peers" not in self._options.parts:
            return None
        if not self._options.peers:
            self._skipped["peers"] = "no --peer FILE was given"
            return None
        self._say("peers", ", ".join(path.name for path in self._options.peers))
        return peers.measure(self._options.peers, bundle, self._pool, self._protocol)
