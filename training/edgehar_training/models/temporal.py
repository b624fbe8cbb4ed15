"""Parts of heads: recurrent layers over the features of a window, and attention over their outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt

ATTENTION = "attention"


def recurrent(
    x: Any, kind: str, units: int, layers: int = 1, bidirectional: bool = False, activation: str = "tanh"
) -> Any:
    """Stack recurrent layers; the last one returns its last state.

    Args:
        x: `(batch, time, n)`.
        kind: lstm (Hochreiter and Schmidhuber, 1997), gru (Cho et al., EMNLP 2014) or simple (Elman, 1990).
        units: of each layer.
        layers: how many.
        bidirectional: a second one reads backwards, and their outputs are put side by side.
        activation: of the state.

    Returns:
        `(batch, units)`, or twice as many units if bidirectional.
    """
    import keras

    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "simple": keras.layers.SimpleRNN}[kind]
    for index in range(layers):
        name = f"{kind}_{index}"
        inner = layer(units, activation=activation, return_sequences=index < layers - 1, name=name)
        x = (keras.layers.Bidirectional(inner, name=f"both_{name}") if bidirectional else inner)(x)
    return x


def attended(sequence: Any, kind: str, units: int) -> Any:
    """Return the mean of a sequence, weighted by a softmax over time.

    additive: the weight of a step is v . tanh(W h_t + b) (Bahdanau et al., ICLR 2015, without its query); dot: it is
    h_t . W h_T, of which T is the last step (Luong et al., EMNLP 2015, "general").

    Args:
        sequence: `(batch, time, n)`.
        kind: additive or dot.
        units: rows of W, of the additive one.

    Returns:
        `(batch, n)`. The layer "attention" gives the weights, `(batch, time)`, which sum to 1.
    """
    import keras

    from edgehar_training.models.layers import LastStep

    steps, n = sequence.shape[1:]
    if kind == "additive":
        scores = keras.layers.Dense(units, activation="tanh", name="attention_hidden")(sequence)
        scores = keras.layers.Dense(1, use_bias=False, name="attention_scores")(scores)
        scores = keras.layers.Reshape((steps,), name="attention_flat")(scores)
    else:
        query = keras.layers.Dense(n, use_bias=False, name="attention_query")(LastStep(name="attention_last")(sequence))
        scores = keras.layers.Dot(axes=(2, 1), name="attention_scores")([sequence, query])
    weights = keras.layers.Softmax(name=ATTENTION)(scores)
    return keras.layers.Dot(axes=(1, 1), name="attended")([weights, sequence])


def attention_weights(model: keras.Model, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the weight of each frame of each window.

    Args:
        model: a network whose head has attention.
        windows: its input, float32 `(batch, window, height, width, channels)`.

    Returns:
        float32 `(batch, window)`; every row sums to 1.

    Raises:
        ConfigError: the network has no attention.
    """
    import keras
    import numpy as np

    head, encoder = model.get_layer("head"), model.get_layer("encoder")
    if not has_attention(model):
        raise ConfigError(
            f"network {model.name} has no attention; train attention_lrcn, or compact with attention=true"
        )
    batch, window = windows.shape[:2]
    codes = encoder.predict_on_batch(np.reshape(windows, (batch * window, *windows.shape[2:])))
    weights = keras.Model(head.input, head.get_layer(ATTENTION).output)
    return np.asarray(weights.predict_on_batch(codes.reshape(batch, window, -1)))


def has_attention(model: keras.Model) -> bool:
    """Return whether the head of a network has attention."""
    return any(layer.name == ATTENTION for layer in model.get_layer("head").layers)
