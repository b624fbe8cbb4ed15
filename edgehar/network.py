"""The two networks of a model bundle, loaded: the encoder, which sees one frame, and the head, which sees a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from edgehar.bundle import ModelBundle
from edgehar.errors import BundleError, ConfigError
from edgehar.interpreter import TfliteModel

if TYPE_CHECKING:
    import os


class Network:
    """Encoder and head of one bundle. Several `Classifier`s may share it, from one thread.

    Attributes:
        bundle: where they come from.
        encoder: int8 frame `(1, height, width, 3)` to int8 features `(1, features)`.
        head: int8 features `(1, window, features)` to int8 scores `(1, labels)`.
    """

    def __init__(self, model: str | os.PathLike[str] | ModelBundle, *, threads: int = 1) -> None:
        """Load them.

        Args:
            model: a bundle, its path, or the name of a shipped one.
            threads: CPU threads of the interpreter; 1 is best for networks this small.

        Raises:
            ConfigError: no such model, or `threads` out of range.
            BundleError: the bundle cannot be used.
            RuntimeUnavailableError: no TFLite runtime is installed.
        """
        if threads < 1:
            raise ConfigError(f"threads is {threads}, it must be at least 1")
        self.bundle = model if isinstance(model, ModelBundle) else ModelBundle.open(model)
        self._threads = threads
        self.encoder, self.head = self._load("encoder.tflite"), self._load("head.tflite")
        self._check_shapes()

    def reload(self) -> None:
        """Load both anew, from memory: what an interpreter that has failed needs."""
        self.encoder, self.head = self._load("encoder.tflite"), self._load("head.tflite")

    def close(self) -> None:
        """Let go of the networks' memory."""
        self.encoder.close()
        self.head.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self, name: str) -> TfliteModel:
        return TfliteModel(self.bundle.read(name), name=f"{self.bundle.path}: {name}", threads=self._threads)

    def _check_shapes(self) -> None:
        manifest = self.bundle.manifest
        frame = (1, manifest.input.height, manifest.input.width, manifest.input.channels)
        features = self.encoder.output_shape[-1]
        for what, found, expected in (
            ("encoder.tflite: input", self.encoder.input_shape, frame),
            ("encoder.tflite: input quantization", self.encoder.input_quantization, manifest.quantization.input),
            ("head.tflite: input", self.head.input_shape, (1, manifest.temporal.window, features)),
            ("head.tflite: input quantization", self.head.input_quantization, self.encoder.output_quantization),
            ("head.tflite: output", self.head.output_shape, (1, len(manifest.labels))),
        ):
            if found != expected:
                raise BundleError(f"{self.bundle.path}: {what} is {found}, the manifest and encoder say {expected}")
