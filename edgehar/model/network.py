"""The loaded networks of a model bundle: the encoder reads one frame, the head reads a window."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from edgehar.errors import BundleError, ConfigError, EdgeharError
from edgehar.model.bundle import EDGE_TPU_FILE, STEP_FILE, ModelBundle
from edgehar.model.edgetpu import AUTO, CPU, EDGE_TPU, check_delegate, load_edge_tpu
from edgehar.model.interpreter import StepModel, TfliteModel

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Head:
    """The head of another bundle with the same encoder, loaded and ready to answer.

    Attributes:
        bundle: the bundle.
        model: int8 features `(1, window, features)` to int8 scores `(1, labels)`.
    """

    bundle: ModelBundle
    model: TfliteModel

    @property
    def digest(self) -> str:
        """First eight digits of the SHA-256 of the head's file."""
        return self.bundle.manifest.files["head.tflite"][:8]


class Network:
    """Encoder and head of a bundle. Several `Classifier`s may share it, in one thread.

    Attributes:
        bundle: the bundle.
        delegate: what runs the encoder: "cpu", or the requested Edge TPU. The head runs on the CPU.
        encoder: int8 frame `(1, height, width, 3)`, or `(1, 2, height, width, 3)` with two looks, to int8 features
            `(1, features)`.
        head: int8 features `(1, window, features)` to int8 scores `(1, labels)`.
    """

    def __init__(self, model: str | os.PathLike[str] | ModelBundle, *, threads: int = 1, delegate: str = CPU) -> None:
        """Load the networks.

        Args:
            model: a bundle, its path, or the name of a shipped model.
            threads: CPU threads of the interpreter; 1 is best for networks this small.
            delegate: what runs the encoder: "cpu"; "edgetpu" or a particular one (see
                `edgehar.model.edgetpu.load_edge_tpu`); "auto" for an Edge TPU if available, else the CPU.

        Raises:
            ConfigError: the model is unknown, `threads` or `delegate` is invalid, or the bundle has no encoder for an
                Edge TPU.
            BundleError: the bundle cannot be used.
            RuntimeUnavailableError: no TFLite runtime is installed, or the delegate is not available.
        """
        if threads < 1:
            raise ConfigError(f"threads is {threads}, it must be at least 1")
        check_delegate(delegate)
        self.bundle = model if isinstance(model, ModelBundle) else ModelBundle.open(model)
        self._threads, self._wanted = threads, delegate
        self._step: StepModel | None = None
        self.delegate, self.encoder = self._choose_encoder(delegate)
        self.head = self._load("head.tflite")
        self._check_shapes()

    @property
    def step(self) -> StepModel:
        """The one-step network: int8 features and states to int8 scores and states.

        Raises:
            ConfigError: the bundle has none.
            BundleError: it contradicts the manifest.
        """
        if self._step is None:
            self._step = self._load_step()
        return self._step

    def load_head(self, bundle: ModelBundle) -> Head:
        """Load the head of another bundle, for `use_head`. Safe in another thread.

        Raises:
            BundleError: its encoder, window or rate differ from those of this network, or it cannot be loaded.
        """
        same_encoder(self.bundle, bundle)
        where = f"{bundle.path}: head.tflite"
        model = TfliteModel(bundle.read("head.tflite"), name=where, threads=self._threads)
        if model.input_shape != self.head.input_shape or model.output_shape != (1, len(bundle.manifest.labels)):
            raise BundleError(
                f"{where}: is {model.input_shape} to {model.output_shape}, which does not fit the encoder"
            )
        return Head(bundle, model)

    def use_head(self, head: Head) -> None:
        """Answer with another head from now on. The features of frames seen so far stay valid for it."""
        self.bundle, self.head, self._step = head.bundle, head.model, None

    def reload(self) -> None:
        """Load the networks again from memory, after an interpreter has failed."""
        self.delegate, self.encoder = self._choose_encoder(self._wanted)
        self.head, self._step = self._load("head.tflite"), None

    def close(self) -> None:
        """Free the memory of the networks."""
        self.encoder.close()
        self.head.close()
        if self._step is not None:
            self._step.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _choose_encoder(self, delegate: str) -> tuple[str, TfliteModel]:
        if delegate == CPU:
            return CPU, self._load_encoder(CPU)
        if delegate != AUTO:
            return delegate, self._load_encoder(delegate)
        try:
            return EDGE_TPU, self._load_encoder(EDGE_TPU)
        except EdgeharError as error:
            _log.warning("%s runs on the CPU: %s", self.bundle.manifest.name, error)
            return CPU, self._load_encoder(CPU)

    def _load_encoder(self, delegate: str) -> TfliteModel:
        if delegate == CPU:
            return self._load("encoder.tflite")
        if EDGE_TPU_FILE not in self.bundle.files:
            raise ConfigError(
                f"{self.bundle.path}: contains no {EDGE_TPU_FILE}; compile its encoder.tflite with edgetpu_compiler, "
                "and add it with: edgehar bundle add-edgetpu"
            )
        return self._load(EDGE_TPU_FILE, load_edge_tpu(delegate))

    def _load(self, name: str, delegate: Any = None) -> TfliteModel:
        where = f"{self.bundle.path}: {name}"
        return TfliteModel(self.bundle.read(name), name=where, threads=self._threads, delegate=delegate)

    def _load_step(self) -> StepModel:
        manifest = self.bundle.manifest
        if manifest.stateful is None:
            raise ConfigError(
                f"{self.bundle.path}: contains no one-step network ({STEP_FILE}), which mode stateful needs (only "
                "unrolled heads that predict from the last recurrent state have one); use mode window"
            )
        step = StepModel(self.bundle.read(STEP_FILE), name=f"{self.bundle.path}: {STEP_FILE}", threads=self._threads)
        states = [((1, state.size), state.quantization) for state in manifest.stateful.states]
        features = ((1, self.encoder.output_shape[-1]), self.encoder.output_quantization)
        scores = ((1, len(manifest.labels)), self.head.output_quantization)
        self._check(
            (
                (f"{STEP_FILE}: inputs", step.inputs, [features, *states]),
                (f"{STEP_FILE}: outputs", step.outputs, [scores, *states]),
            )
        )
        return step

    def _check_shapes(self) -> None:
        manifest, encoder, head = self.bundle.manifest, self.encoder, self.head
        frame = (1, *manifest.input.shape)
        features = encoder.output_shape[-1]
        self._check(
            (
                ("encoder.tflite: input", encoder.input_shape, frame),
                ("encoder.tflite: input quantization", encoder.input_quantization, manifest.quantization.input),
                ("head.tflite: input", head.input_shape, (1, manifest.temporal.window, features)),
                ("head.tflite: input quantization", head.input_quantization, encoder.output_quantization),
                ("head.tflite: output", head.output_shape, (1, len(manifest.labels))),
            )
        )

    def _check(self, facts: Iterable[tuple[str, object, object]]) -> None:
        for what, found, expected in facts:
            if found != expected:
                raise BundleError(f"{self.bundle.path}: {what} is {found}, but the manifest and encoder say {expected}")


def same_encoder(present: ModelBundle, bundle: ModelBundle) -> None:
    """Check that features of one bundle can be answered by the head of the other.

    Raises:
        BundleError: encoder, input, window or rate differ.
    """
    old, new = present.manifest, bundle.manifest
    same = {
        "encoder": old.files["encoder.tflite"] == new.files["encoder.tflite"],
        "input": old.input == new.input,
        "window": old.temporal.window == new.temporal.window,
        "rate_hz": old.temporal.rate_hz == new.temporal.rate_hz,
    }
    if differing := [name for name, equal in same.items() if not equal]:
        raise BundleError(
            f"{bundle.path}: has another {' and '.join(differing)} than {old.name}, so it cannot take over in a "
            "running program; set it as `model` in the configuration and restart"
        )
