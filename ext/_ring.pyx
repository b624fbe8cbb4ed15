# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True
"""Resizer, LookResizer and FrameRing: area-average camera frames to small quantized inputs, and keep the last in order."""

import math
import numbers

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_RECORDS_RO, PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE
from cpython.buffer cimport PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock,
    PyThread_type_lock,
)
from libc.math cimport floor
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from edgehar.frames import Frame, PixelFormat, YuvMatrix

include "kernel.pxi"
include "images.pxi"
include "options.pxi"
include "resizer.pxi"
include "looks.pxi"


cdef class FrameRing:
    """The last `window` frames, resized and quantized by a `Resizer`, in one contiguous block.

    Each slot is stored twice, `window` slots apart, so the last `window` frames are always contiguous and in order.
    A push allocates nothing unless the size or format of the frames changes, and it runs without the GIL. Concurrent
    pushes wait for each other.

    Args:
        window: frames in a window, at least 1.
        height: rows of a small frame, 1 to 8192 pixels.
        width: columns of a small frame, 1 to 8192 pixels.
        channels: as for `Resizer`.
        dtype: as for `Resizer`.
        scale: as for `Resizer`.
        zero_point: as for `Resizer`.
        motion: as for `Resizer`.
        crop: as for `Resizer`.
        region: as for `Resizer`.
        mean: as for `Resizer`.
        std: as for `Resizer`.

    Raises:
        ValueError: an argument is outside its limits.
        MemoryError: the ring does not fit in memory.
    """

    cdef readonly int window_length

    cdef Resizer _resizer
    cdef object _storage       # ndarray (2 * window, height, width, 3)
    cdef object _frozen        # the same memory, read-only: views are cut from it
    cdef uint8_t *_slots       # first byte of _storage
    cdef int64_t _count

    def __cinit__(
        self, window, height, width, channels=3, dtype="int8", scale=1.0 / 255.0, zero_point=-128, *, motion="none",
        crop="stretch", region=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
    ):
        import numpy

        self.window_length = _whole_number("window", window, 1, 1 << 20)
        self._resizer = Resizer(
            height, width, channels, dtype, scale, zero_point, motion=motion, crop=crop, region=region, mean=mean,
            std=std,
        )
        self._storage = numpy.zeros((2 * self.window_length, self._resizer.height, self._resizer.width, 3), dtype)
        self._frozen = self._storage.view()
        self._frozen.flags.writeable = False
        self._slots = _address(self._storage)

    def push(self, frame):
        """Resize a frame into the ring, over the oldest one.

        Args:
            frame: a `Frame` or a uint8 `(H, W, 3)` BGR array, as for `Resizer.resize_into`.

        Returns:
            Its index: 0 for the first frame after construction or `reset`, then 1, 2, ...

        Raises:
            TypeError: not a frame, or not of uint8.
            ValueError: another shape, size or pixel format, a `region` of less than a pixel, or a closed ring.
        """
        cdef Resizer resizer = self._resizer
        cdef Image image
        cdef uint8_t *slot
        cdef uint8_t *mirror
        cdef int64_t index = 0
        _open_image(frame, &image)
        resizer._lock.take()
        try:
            resizer._fit_plan(&image)
            index = self._count
            slot = self._slots + <size_t>(index % self.window_length) * resizer._value_bytes
            mirror = slot + <size_t>self.window_length * resizer._value_bytes
            with nogil:
                resizer._shrink(&image, slot)
                memcpy(mirror, slot, resizer._value_bytes)
            self._count = index + 1
        finally:
            resizer._lock.free()
            _close_image(&image)
        return index

    def shrink_into(self, frame, out):
        """Resize a frame into `out` instead of into the ring, as `Resizer.resize_into`.

        The pixels equal those `push` would store. The ring does not change; the motion history advances by this frame.
        """
        self._resizer.resize_into(frame, out)

    def window(self):
        """Return the last `window` frames, oldest first.

        Returns:
            Read-only C-contiguous view `(window, height, width, 3)` of the ring's dtype. Nothing is copied: the next
            push overwrites the oldest frame of the view, later pushes the others. Copy the frames you keep. The view
            keeps the memory alive after the ring is gone.

        Raises:
            RuntimeError: fewer than `window` frames were pushed since construction or `reset`.
        """
        cdef int64_t first
        if self._count < self.window_length:
            raise RuntimeError(
                f"the window is not full: it takes {self.window_length} frames and {self._count} were pushed;"
                " push more, and check `count` first"
            )
        first = self._count % self.window_length
        return self._frozen[first : first + self.window_length]

    def latest(self):
        """Return the newest frame.

        Returns:
            Read-only C-contiguous view `(height, width, 3)` of the ring's dtype, overwritten `window` pushes later.

        Raises:
            RuntimeError: no frame was pushed since construction or `reset`.
        """
        if self._count == 0:
            raise RuntimeError("there is no latest frame: push one first")
        return self._frozen[(self._count - 1) % self.window_length]

    def reset(self):
        """Forget all frames and the motion history. The next frame has index 0, and for motion the scene stood still."""
        with self._resizer._lock:
            self._count = 0
            self._resizer._greys_seen = 0

    def close(self):
        """Free the memory. Views already returned stay valid; a push raises ValueError. Safe to call twice."""
        self._resizer.close()
        with self._resizer._lock:
            self._storage = self._frozen = None
            self._slots = NULL
            self._count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def count(self):
        """Frames pushed since construction or `reset`."""
        return self._count

    @property
    def height(self):
        """Rows of a small frame."""
        return self._resizer.height

    @property
    def width(self):
        """Columns of a small frame."""
        return self._resizer.width

    @property
    def dtype(self):
        """Type of the small frames: "int8", "uint8" or "float32"."""
        return self._resizer.dtype

    @property
    def motion(self):
        """Motion input: "none" or "grey-difference"."""
        return self._resizer.motion

    @property
    def crop(self):
        """How frames of another aspect ratio fit: "stretch", "center" or "letterbox"."""
        return self._resizer.crop

    def __repr__(self):
        return (
            f"FrameRing(window={self.window_length}, height={self.height}, width={self.width}, dtype={self.dtype!r},"
            f" motion={self.motion!r}, count={self._count})"
        )
