# cython: language_level=3, boundscheck=False, wraparound=False
"""The first block of the small CNNs (3x3 convolution, ReLU, 4x4 max pool) and its gradient, for training on a CPU."""

import numpy as np

from libc.stdint cimport int8_t

cdef extern from "stem.h" nogil:
    enum:
        STEM_CHANNELS
        STEM_FILTERS
        STEM_POOL
    int stem_supported()
    size_t stem_padded_floats(Py_ssize_t height, Py_ssize_t width)
    void stem_forward(
        const float *images, Py_ssize_t count, Py_ssize_t height, Py_ssize_t width, const float *kernel,
        const float *bias, float *padded, float *out, int8_t *winner
    )
    void stem_backward(
        const float *images, Py_ssize_t count, Py_ssize_t height, Py_ssize_t width, const float *gradient,
        const int8_t *winner, float *padded, float *kernel_gradient, float *bias_gradient
    )

CHANNELS, FILTERS, POOL = STEM_CHANNELS, STEM_FILTERS, STEM_POOL


def supported():
    """Return whether this processor can run `forward` and `backward` (AVX2 and FMA)."""
    return bool(stem_supported())


def forward(const float[:, :, :, ::1] images, const float[:, :, :, ::1] kernel, const float[::1] bias):
    """Convolve, apply ReLU and max-pool.

    Args:
        images: float32 `(n, height, width, 3)`, height and width multiples of 4.
        kernel: float32 `(3, 3, 3, 16)`.
        bias: float32 `(16,)`.

    Returns:
        float32 `(n, height / 4, width / 4, 16)`, and int8 of the same shape for `backward`.

    Raises:
        ValueError: shapes do not fit, or the processor is not supported.
    """
    _check(images.shape[1], images.shape[2], images.shape[3])
    if (kernel.shape[0], kernel.shape[1], kernel.shape[2], kernel.shape[3]) != (3, 3, CHANNELS, FILTERS):
        raise ValueError("kernel must be (3, 3, 3, 16)")
    if bias.shape[0] != FILTERS:
        raise ValueError("bias must be (16,)")
    cdef tuple shape = (images.shape[0], images.shape[1] // STEM_POOL, images.shape[2] // STEM_POOL, STEM_FILTERS)
    out, winner = np.empty(shape, np.float32), np.empty(shape, np.int8)
    if images.shape[0] == 0:
        return out, winner
    cdef float[:, :, :, ::1] out_view = out
    cdef int8_t[:, :, :, ::1] winner_view = winner
    cdef float[::1] padded = np.empty(stem_padded_floats(images.shape[1], images.shape[2]), np.float32)
    with nogil:
        stem_forward(
            &images[0, 0, 0, 0], images.shape[0], images.shape[1], images.shape[2], &kernel[0, 0, 0, 0], &bias[0],
            &padded[0], &out_view[0, 0, 0, 0], &winner_view[0, 0, 0, 0]
        )
    return out, winner


def backward(
    const float[:, :, :, ::1] images, const float[:, :, :, ::1] gradient, const int8_t[:, :, :, ::1] winner
):
    """Return the gradients of the kernel and the bias.

    Args:
        images: as given to `forward`.
        gradient: of the output of `forward`, float32, same shape.
        winner: second result of `forward`.

    Returns:
        float32 `(3, 3, 3, 16)` and float32 `(16,)`.

    Raises:
        ValueError: shapes do not fit, or the processor is not supported.
    """
    _check(images.shape[1], images.shape[2], images.shape[3])
    cdef tuple shape = (images.shape[0], images.shape[1] // STEM_POOL, images.shape[2] // STEM_POOL, STEM_FILTERS)
    if np.shape(gradient) != shape or np.shape(winner) != shape:
        raise ValueError(f"gradient and winner must be {shape}")
    kernel, bias = np.zeros((3, 3, STEM_CHANNELS, STEM_FILTERS), np.float32), np.zeros(STEM_FILTERS, np.float32)
    if images.shape[0] == 0:
        return kernel, bias
    cdef float[:, :, :, ::1] kernel_view = kernel
    cdef float[::1] bias_view = bias
    cdef float[::1] padded = np.empty(stem_padded_floats(images.shape[1], images.shape[2]), np.float32)
    with nogil:
        stem_backward(
            &images[0, 0, 0, 0], images.shape[0], images.shape[1], images.shape[2], &gradient[0, 0, 0, 0],
            &winner[0, 0, 0, 0], &padded[0], &kernel_view[0, 0, 0, 0], &bias_view[0]
        )
    return kernel, bias


def _check(height, width, channels):
    if not stem_supported():
        raise ValueError("this processor has no AVX2 and FMA")
    if channels != STEM_CHANNELS or height % STEM_POOL or width % STEM_POOL or not height or not width:
        raise ValueError(f"images must be (n, height, width, 3) with sides that are multiples of 4, not {(height, width)}")
