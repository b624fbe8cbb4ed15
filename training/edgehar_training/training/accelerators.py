"""The hardware of a training: Keras backend, GPUs, 16-bit arithmetic, XLA, several GPUs, and determinism."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from edgehar.errors import ConfigError, EdgeharError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from edgehar_training.settings import FitSettings

log = logging.getLogger(__name__)

FLOAT32 = "float32"
# From this CUDA compute capability on (Ampere), a GPU has bfloat16, which needs no scaling of the loss.
BFLOAT16_CAPABILITY = (8, 0)


def gpus() -> list[Any]:
    """Return the GPUs that the backend sees."""
    if keras.backend.backend() == "jax":
        import jax

        return [device for device in jax.devices() if device.platform == "gpu"]
    import tensorflow as tf

    return list(tf.config.list_logical_devices("GPU"))


def seed(number: int, *, deterministic: bool) -> None:
    """Seed every source of random numbers, and make all operations deterministic if asked for.

    Without `deterministic`, a GPU may add in another order each time.
    """
    keras.utils.set_random_seed(number)
    if not deterministic:
        return
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif "--xla_gpu_deterministic_ops" not in (flags := os.environ.get("XLA_FLAGS", "")):
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def precision(fit: FitSettings) -> str:
    """Return the Keras dtype policy: mixed only where a GPU makes it faster."""
    if fit.precision == FLOAT32:
        return FLOAT32
    if not gpus():
        log.warning("warning: --precision mixed needs a GPU, but none was found; training continues in float32")
        return FLOAT32
    return "mixed_bfloat16" if _has_bfloat16() else "mixed_float16"


def _has_bfloat16() -> bool:
    if keras.backend.backend() == "jax":
        capabilities = [tuple(map(int, str(device.compute_capability).split("."))) for device in gpus()]
    else:
        import tensorflow as tf

        details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
        capabilities = [detail.get("compute_capability", (0, 0)) for detail in details]
    return min(capabilities) >= BFLOAT16_CAPABILITY


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Set the dtype policy of layers made in this context."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def keep_scores_exact(layers: Sequence[keras.layers.Layer]) -> None:
    """Let the layers that end in a softmax compute in float32: 16 bits are too few for the logarithm of a score."""
    for layer in layers:
        activation = getattr(getattr(layer, "activation", None), "__name__", "")
        if activation == "softmax" or isinstance(layer, keras.layers.Softmax):
            layer.dtype_policy = FLOAT32


def jit(fit: FitSettings, layers: Sequence[keras.layers.Layer]) -> bool | str:
    """Return the `jit_compile` argument of `compile`; with XLA, recurrent layers do not use cuDNN.

    JAX without XLA runs every operation alone, a hundred times slower, so JAX decides.
    """
    if keras.backend.backend() == "jax":
        return "auto"
    if fit.jit:
        for layer in layers:
            if getattr(layer, "use_cudnn", None) is not None:
                layer.use_cudnn = False
    return fit.jit


class Replicas:
    """The network on several GPUs, each of which takes its part of every batch (`tf.distribute.MirroredStrategy`).

    Args:
        devices: names such as "GPU:0"; without it, all GPUs that TensorFlow sees. With fewer than two, and on another
            backend, nothing is mirrored.
    """

    def __init__(self, devices: Sequence[str] | None = None) -> None:
        self._strategy: Any = None
        if keras.backend.backend() != "tensorflow":
            return
        names = [device.name for device in gpus()] if devices is None else list(devices)
        if len(names) > 1:
            import tensorflow as tf

            self._strategy = tf.distribute.MirroredStrategy(names)

    def __len__(self) -> int:
        return 1 if self._strategy is None else int(self._strategy.num_replicas_in_sync)

    def check(self, fit: FitSettings) -> None:
        """Make sure that every replica gets something of a batch.

        Raises:
            ConfigError: batches are too small.
        """
        # Batches of an epoch have equal sizes, give or take one, which may be just over half of the requested size.
        if len(self) > 1 and fit.batch_size < 2 * len(self):
            raise ConfigError(
                f"--batch-size {fit.batch_size} is too small for {len(self)} GPUs; give {2 * len(self)} or more, or "
                "show fewer GPUs by CUDA_VISIBLE_DEVICES"
            )

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Mirror variables made in this context."""
        return contextlib.nullcontext() if self._strategy is None else self._strategy.scope()

    def step(
        self, model: keras.Model, windows: npt.NDArray[Any], truth: npt.NDArray[Any], weight: npt.NDArray[Any] | None
    ) -> dict[str, float]:
        """Take one training step; returns loss and metrics of this step."""
        if self._strategy is None:
            logs: dict[str, float] = model.train_on_batch(windows, truth, weight, return_dict=True)
            return logs
        if model.train_function is None:
            with self.scope():
                # Makes the variables of the metrics, which cannot be made within a step.
                model.test_on_batch(windows[:1], truth[:1])
        parts = [[None] * len(self) if a is None else np.array_split(a, len(self)) for a in (windows, truth, weight)]
        model.reset_metrics()
        # `train_on_batch` would give the whole batch to every replica.
        model.make_train_function()
        logs = model.train_function(iter([tuple(self._dealt(part) for part in parts)]))
        return {name: float(np.array(value)) for name, value in logs.items()}

    def _dealt(self, parts: Sequence[Any]) -> Any:
        if parts[0] is None:
            return None
        import tensorflow as tf

        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.convert_to_tensor(parts[context.replica_id_in_sync_group])
        )


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turn an out-of-memory error of the machine or of a GPU into an error that names the settings to lower.

    Raises:
        EdgeharError: memory ran out.
    """
    try:
        yield
    except Exception as error:
        if not _is_memory(error):
            raise
        raise EdgeharError(
            "out of memory in a training step; lower --batch-size first, then --window or --size, or close what else "
            "uses the memory"
        ) from error


def _is_memory(error: Exception) -> bool:
    # By name: TensorFlow says ResourceExhaustedError, JAX XlaRuntimeError or JaxRuntimeError with a text.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"
        or "RESOURCE_EXHAUSTED" in str(error)
        or "OOM when allocating" in str(error)
    )
