"""The same network with its first block in one compiled function, for training on a CPU.

TensorFlow keeps every pixel of the first convolution for the way back (74 MB for 320 frames of 60x60), although max
pooling passes a gradient to one pixel in sixteen. The compiled block keeps which one. A training step of `lrcn` takes
less than a third of the time (`scripts/bench/training_step.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    from types import ModuleType


def with_compiled_stem(model: keras.Model) -> keras.Model:
    """Return a network over the same weights that computes the first convolution, ReLU and pooling with `_stem`.

    Args:
        model: a network with layers "fold_time", "encoder", "unfold_time" and "head".

    Returns:
        A network with layers "encoder" and "head", for training and evaluation only; `model` itself if the compiled
        block does not fit it or cannot be used (another backend, a GPU, no AVX2, not built).
    """
    encoder = model.get_layer("encoder")
    stem = _usable_stem()
    if stem is None or not _fits(encoder, stem):
        return model
    frame = keras.Input(encoder.input_shape[1:], name="frame")
    rest = keras.Model(encoder.layers[2].output, encoder.output)
    fast = keras.Model(frame, rest(_stem_layer(stem, encoder.layers[1])(frame)), name="encoder")
    frames = keras.Input(model.input_shape[1:], name="window")
    features = fast(model.get_layer("fold_time")(frames))
    return keras.Model(frames, model.get_layer("head")(model.get_layer("unfold_time")(features)), name=model.name)


def _usable_stem() -> ModuleType | None:
    if keras.backend.backend() != "tensorflow":
        return None
    try:
        from edgehar_training import _stem
    except ImportError:
        return None
    import tensorflow as tf

    return _stem if _stem.supported() and not tf.config.list_physical_devices("GPU") else None


def _fits(encoder: keras.Model, stem: Any) -> bool:
    if len(encoder.layers) < 4:
        return False
    frame, convolution, pool = encoder.layers[:3]
    return (
        isinstance(convolution, keras.layers.Conv2D)
        and isinstance(pool, keras.layers.MaxPooling2D)
        and convolution.input is frame.output
        and pool.input is convolution.output
        and _readers(frame) == [convolution]
        and _readers(convolution) == [pool]
        and convolution.kernel.shape == (3, 3, stem.CHANNELS, stem.FILTERS)
        and convolution.padding == "same"
        and tuple(convolution.strides) == (1, 1)
        and convolution.use_bias
        and convolution.activation is keras.activations.relu
        and tuple(pool.pool_size) == tuple(pool.strides) == (stem.POOL, stem.POOL)
        and not any(side % stem.POOL for side in encoder.input_shape[1:3])
    )


def _readers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return [node.operation for node in layer._outbound_nodes]  # noqa: SLF001 - Keras has no other way


def _stem_layer(stem: Any, convolution: keras.layers.Conv2D) -> keras.layers.Layer:
    import tensorflow as tf

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def block(images: Any, kernel: Any, bias: Any) -> Any:
        out, winner = tf.numpy_function(stem.forward, [images, kernel, bias], [tf.float32, tf.int8])
        out.set_shape((None, images.shape[1] // stem.POOL, images.shape[2] // stem.POOL, stem.FILTERS))

        def gradients(gradient: Any) -> Any:
            inputs = [images, gradient, winner]
            for_kernel, for_bias = tf.numpy_function(stem.backward, inputs, [tf.float32, tf.float32])
            for_kernel.set_shape(kernel.shape)
            for_bias.set_shape(bias.shape)
            # Frames are data: nothing learns from their gradient.
            return None, for_kernel, for_bias

        return out, gradients

    class Stem(keras.layers.Layer):  # type: ignore[misc]
        """Convolution, ReLU and max pool over the weights of `convolution`."""

        def __init__(self) -> None:
            super().__init__(name="stem")
            self.convolution = convolution

        def call(self, images: Any) -> Any:
            # As tensors, because TensorFlow expects other gradients for variables.
            kernel, bias = (tf.convert_to_tensor(v) for v in (self.convolution.kernel, self.convolution.bias))
            return block(images, kernel, bias)

        def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
            _, height, width, _ = input_shape
            return (None, (height or 0) // stem.POOL, (width or 0) // stem.POOL, stem.FILTERS)

    return Stem()
