"""Per-stream history: a ring of encoded frames, or the state of a recurrent network."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from edgehar.errors import ConfigError
from edgehar.model.bundle import STEP_FILE

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.model.bundle import ModelBundle
    from edgehar.model.network import Network

STATE_VERSION = 1


class History(Protocol):
    """History of one stream.

    Attributes:
        count: frames since the last reset.
    """

    count: int

    def push(self, features: npt.NDArray[np.int8]) -> None:
        """Add the encoding of one frame, int8 `(features,)`."""

    def scores(self) -> npt.NDArray[np.int8]:
        """Return the scores of the head, int8 `(labels,)`."""

    def reset(self) -> None:
        """Forget all frames."""


class FeatureRing:
    """Encodings of the latest `window` frames, stored twice, so that any window is one contiguous view."""

    def __init__(self, window: int, features: int) -> None:
        self._window = window
        self._storage = np.zeros((2 * window, features), np.int8)
        self.count = 0

    def push(self, features: npt.NDArray[np.int8]) -> None:
        """Add one encoding, int8 `(features,)`."""
        slot = self.count % self._window
        self._storage[slot] = self._storage[slot + self._window] = features
        self.count += 1

    def view(self) -> npt.NDArray[np.int8]:
        """Return the latest window, oldest first: int8 `(window, features)`, filled up with the first encoding."""
        if self.count < self._window:
            known = self._storage[: self.count]
            return np.concatenate([np.repeat(known[:1], self._window - self.count, axis=0), known])
        start = self.count % self._window
        return self._storage[start : start + self._window]


class WindowHistory(FeatureRing):
    """The latest window, which the head reads at once."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.bundle.manifest.temporal.window, network.encoder.output_shape[-1])
        self._network = network

    def scores(self) -> npt.NDArray[np.int8]:
        """Return the scores of the window."""
        return self._network.head.run(self.view()).reshape(-1)

    def reset(self) -> None:
        """Forget all frames."""
        self.count = 0


class SavedState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A saved history, in MessagePack.

    Attributes:
        version: version of this format.
        model: name of the model.
        digest: digest of its networks, so that a state is never given to another model.
        frames: frames since the last reset.
        states: bytes of every state, int8, in the manifest's order.
        scores: scores of the last step, int8.
    """

    version: int
    model: str
    digest: str
    frames: int
    states: list[bytes]
    scores: bytes


class StatefulHistory:
    """All frames since the last reset, in the state of a network that takes one step per frame."""

    def __init__(self, network: Network) -> None:
        """Start a history.

        Raises:
            ConfigError: the model has no one-step network.
        """
        self._network = network
        self.count = 0
        self._states: list[npt.NDArray[np.int8]] = []
        self._scores = np.empty(0, np.int8)
        self.reset()

    def push(self, features: npt.NDArray[np.int8]) -> None:
        """Take one step."""
        scores, *self._states = self._network.step.run(features, *self._states)
        self._scores = scores.reshape(-1)
        self.count += 1

    def scores(self) -> npt.NDArray[np.int8]:
        """Return the scores of the last step."""
        return self._scores

    def reset(self) -> None:
        """Forget all frames: every state and score becomes 0."""
        inputs = self._network.step.inputs[1:]
        self._states = [np.full(shape, affine.zero_point, np.int8) for shape, affine in inputs]
        shape, affine = self._network.step.outputs[0]
        self._scores = np.full(shape[-1], affine.zero_point, np.int8)
        self.count = 0

    def save(self) -> bytes:
        """Return the history as bytes for `restore`."""
        bundle = self._network.bundle
        states = [state.tobytes() for state in self._states]
        saved = SavedState(
            STATE_VERSION, bundle.manifest.name, _digest(bundle), self.count, states, self._scores.tobytes()
        )
        return msgspec.msgpack.encode(saved)

    def restore(self, content: bytes) -> None:
        """Continue from a saved history. If it cannot be used, nothing changes.

        Raises:
            ConfigError: it is damaged, from a newer version, or of another model.
        """
        bundle = self._network.bundle
        saved = _read(content)
        if saved.digest != _digest(bundle):
            raise ConfigError(
                f"the saved state is of model {saved.model!r}, whose networks differ from those of {bundle.path}; "
                "start without it"
            )
        states = [np.frombuffer(state, np.int8) for state in saved.states]
        sizes = [state.size for state in self._states]
        if [state.size for state in states] != sizes or len(saved.scores) != self._scores.size or saved.frames < 0:
            raise ConfigError(f"the saved state is damaged: its sizes are not {sizes}; start without it")
        shapes = [shape for shape, _ in self._network.step.inputs[1:]]
        self._states = [state.reshape(shape).copy() for state, shape in zip(states, shapes, strict=True)]
        self._scores, self.count = np.frombuffer(saved.scores, np.int8).copy(), saved.frames


def _read(content: bytes) -> SavedState:
    try:
        version = msgspec.msgpack.decode(content, type=dict[str, msgspec.Raw]).get("version")
        number = None if version is None else msgspec.msgpack.decode(version)
        if isinstance(number, int) and number > STATE_VERSION:
            raise ConfigError(
                f"the saved state has version {number}, this edgehar reads up to {STATE_VERSION}; update edgehar"
            )
        return msgspec.msgpack.decode(content, type=SavedState)
    except msgspec.DecodeError as error:
        raise ConfigError(f"the saved state is damaged ({error}); start without it") from error


def _digest(bundle: ModelBundle) -> str:
    """Return a digest of the encoder and the one-step network, which a state depends on."""
    files = bundle.manifest.files
    return hashlib.sha256(f"{files['encoder.tflite']} {files[STEP_FILE]}".encode()).hexdigest()
