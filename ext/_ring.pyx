# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True
"""FrameRing: camera frames to small quantised network inputs, kept in order."""

import math
import numbers
import threading

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_RECORDS_RO, PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE
from cpython.buffer cimport PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from libc.math cimport floor
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from edgehar.frames import Frame, PixelFormat

cdef extern from "area.h" nogil:
    enum:
        AREA_MIN_SOURCE
        AREA_MAX_SIDE
    ctypedef struct area_plan:
        pass
    area_plan *area_plan_create(int source_height, int source_width, int source_channels, int height, int width)
    void area_plan_destroy(area_plan *plan)
    void area_shrink_bytes(
        area_plan *plan, const uint8_t *pixels, Py_ssize_t row_stride, bint reversed, const uint8_t *map, uint8_t *out
    )
    void area_shrink_floats(
        area_plan *plan, const uint8_t *pixels, Py_ssize_t row_stride, bint reversed, float *out
    )
    void motion_grey(const uint8_t *rgb, size_t count, uint8_t *grey)
    void motion_bytes(
        const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count, const uint8_t *map,
        uint8_t *out
    )
    void motion_floats(const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count, float *out)

cdef object BGR24 = PixelFormat.BGR24
cdef object RGB24 = PixelFormat.RGB24
cdef object GRAY8 = PixelFormat.GRAY8

cdef dict BUFFER_CODES = {"int8": b"b", "uint8": b"B", "float32": b"f"}

cdef struct Image:
    # The pixels of one frame, borrowed from a held buffer.
    const uint8_t *pixels
    Py_ssize_t row_stride
    int height
    int width
    int channels
    bint is_bgr


cdef class FrameRing:
    """The last `window` frames, area-averaged to `height` x `width` RGB and quantised as a network wants them.

    Output pixel (y, x) is the mean of the source over [y*H/height, (y+1)*H/height) x [x*W/width, (x+1)*W/width), with
    exact rational weights whether it shrinks or enlarges, rounded once, half up, to a level 0-255. Then, by `dtype`:

    - `"uint8"`: the level.
    - `"int8"`: `floor(level / 255 / scale + 0.5) + zero_point`, saturated to -128..127: TFLite's affine quantisation of
      the value level / 255. With the default scale and zero point it is level - 128.
    - `"float32"`: the average before rounding, divided by 255.

    With `motion="grey-difference"` the channels are instead t - (t-1), t - (t-2) and |t - (t-1)| of the grey levels
    `(77 R + 150 G + 29 B + 128) >> 8` of the rounded pixels of frame t and the frames before it; int8 quantises d / 255
    as above, float32 gives d / 255. Before the first frame the scene stood still: its differences are all 0.

    Every slot is stored twice, `window` slots apart, so the last `window` frames always lie in order in one block.
    A push allocates nothing, unless the size or format of the frames changes, and runs without the GIL. Pushes from
    several threads wait for each other.

    Args:
        window: frames in a window, at least 1.
        height: rows of a small frame, 1 to 8192 pixels.
        width: columns of a small frame, 1 to 8192 pixels.
        channels: 3 (RGB, or the three differences).
        dtype: type of the small frames.
        scale: quantisation step of int8, in units of level / 255; not used for uint8 and float32.
        zero_point: the int8 value of level 0, -128 to 127; not used for uint8 and float32.
        motion: `"none"` or `"grey-difference"` (int8 and float32 only).

    Raises:
        ValueError: an argument is outside these limits.
        MemoryError: the ring does not fit in memory.
    """

    cdef readonly int window_length
    cdef readonly int height
    cdef readonly int width
    cdef readonly str dtype
    cdef readonly str motion

    cdef object _lock
    cdef object _storage       # ndarray (2 * window, height, width, 3)
    cdef object _frozen        # the same, read-only: what views are cut from
    cdef uint8_t *_slots       # its first byte
    cdef size_t _pixel_count   # of a small frame
    cdef size_t _slot_bytes
    cdef bint _is_float
    cdef bint _has_motion
    cdef int64_t _count

    cdef area_plan *_plan
    cdef int _plan_height, _plan_width, _plan_channels

    cdef uint8_t _level_map[256]
    cdef uint8_t _difference_map[511]
    cdef uint8_t *_levels      # motion only: the shrunk RGB levels of this frame
    cdef uint8_t *_greys       # motion only: grey levels of the last three frames, frame i at i % 3
    cdef int64_t _greys_seen

    def __cinit__(
        self, window, height, width, channels=3, dtype="int8", scale=1.0 / 255.0, zero_point=-128, *, motion="none"
    ):
        import numpy

        self.window_length = _whole_number("window", window, 1, 1 << 20)
        self.height = _whole_number("height", height, 1, AREA_MAX_SIDE)
        self.width = _whole_number("width", width, 1, AREA_MAX_SIDE)
        _check_kind(channels, dtype, scale, zero_point, motion)
        self.dtype = dtype
        self.motion = motion
        self._is_float = dtype == "float32"
        self._has_motion = motion != "none"
        self._lock = threading.Lock()
        self._storage = numpy.zeros((2 * self.window_length, self.height, self.width, 3), dtype)
        self._frozen = self._storage.view()
        self._frozen.flags.writeable = False
        self._slots = _address(self._storage)
        self._pixel_count = <size_t>self.height * self.width
        self._slot_bytes = self._pixel_count * 3 * (4 if self._is_float else 1)
        self._fill_maps(scale, zero_point)
        if self._has_motion:
            self._levels = <uint8_t *>malloc(self._pixel_count * 3)
            self._greys = <uint8_t *>malloc(self._pixel_count * 3)
            if self._levels == NULL or self._greys == NULL:
                raise MemoryError("no memory for the motion history")

    def __dealloc__(self):
        area_plan_destroy(self._plan)
        free(self._levels)
        free(self._greys)

    cdef int _fill_maps(self, double scale, int zero_point) except -1:
        # Levels that motion is made of, and those of uint8, are not quantised.
        cdef bint quantised = self.dtype == "int8"
        cdef int i
        for i in range(256):
            self._level_map[i] = _quantise(i, scale, zero_point) if quantised and not self._has_motion else i
        for i in range(-255, 256):
            self._difference_map[i + 255] = _quantise(i, scale, zero_point)
        return 0

    def push(self, frame):
        """Shrink a frame into the ring, over the oldest one.

        Args:
            frame: a `Frame` (BGR24, RGB24: `(H, W, 3)`; GRAY8: `(H, W)`, taken as R = G = B) or a uint8 `(H, W, 3)`
                array, BGR; 0-255; H and W from 8 to 8192. Strided rows are read in place; only where the pixels of a
                row are not adjacent (a mirrored or decimated view) is a copy made first.

        Returns:
            Its index: 0 for the first frame after construction or `reset`, then 1, 2, ...

        Raises:
            TypeError: not a frame, or not of uint8.
            ValueError: another shape, size or pixel format.
        """
        cdef Py_buffer buffer
        cdef Image image
        cdef uint8_t *slot
        cdef uint8_t *mirror
        cdef int64_t index = 0
        _open_image(frame, &buffer, &image)
        try:
            with self._lock:
                index = self._count
                slot = self._slots + <size_t>(index % self.window_length) * self._slot_bytes
                mirror = slot + <size_t>self.window_length * self._slot_bytes
                self._fit_plan(&image)
                with nogil:
                    self._shrink(&image, slot)
                    memcpy(mirror, slot, self._slot_bytes)
                self._count = index + 1
        finally:
            PyBuffer_Release(&buffer)
        return index

    def shrink_into(self, frame, out):
        """Shrink a frame straight into `out`, such as an interpreter's input tensor, instead of into the ring.

        The pixels are those `push` would store. The ring does not change; the motion history moves on by this frame.

        Args:
            frame: as for `push`.
            out: writable C-contiguous array of the ring's dtype, `(height, width, 3)` after any leading dimensions
                of 1, such as `(1, height, width, 3)`.

        Raises:
            TypeError: not a frame, or `frame` or `out` has another dtype.
            ValueError: another shape, size or pixel format, or `out` cannot be written to.
        """
        cdef Py_buffer buffer, out_buffer
        cdef Image image
        self._open_output(out, &out_buffer)
        try:
            _open_image(frame, &buffer, &image)
            try:
                with self._lock:
                    self._fit_plan(&image)
                    with nogil:
                        self._shrink(&image, <uint8_t *>out_buffer.buf)
            finally:
                PyBuffer_Release(&buffer)
        finally:
            PyBuffer_Release(&out_buffer)

    def window(self):
        """The last `window` frames, oldest first.

        Returns:
            Read-only C-contiguous view `(window, height, width, 3)` of the ring's dtype. Nothing is copied: the next
            push overwrites the oldest frame of the view, later pushes the others. Copy what must last. The view keeps
            the memory alive after the ring is gone.

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
        """The frame pushed last.

        Returns:
            Read-only C-contiguous view `(height, width, 3)` of the ring's dtype, overwritten `window` pushes later.

        Raises:
            RuntimeError: no frame was pushed since construction or `reset`.
        """
        if self._count == 0:
            raise RuntimeError("there is no latest frame: push one first")
        return self._frozen[(self._count - 1) % self.window_length]

    def reset(self):
        """Forget all frames and the motion history: the next frame is frame 0, and for motion the scene stood still."""
        with self._lock:
            self._count = 0
            self._greys_seen = 0

    @property
    def count(self):
        """Frames pushed since construction or `reset`."""
        return self._count

    def __repr__(self):
        return (
            f"FrameRing(window={self.window_length}, height={self.height}, width={self.width}, dtype={self.dtype!r},"
            f" motion={self.motion!r}, count={self._count})"
        )

    cdef int _fit_plan(self, const Image *image) except -1:
        if (
            self._plan != NULL
            and self._plan_height == image.height
            and self._plan_width == image.width
            and self._plan_channels == image.channels
        ):
            return 0
        area_plan_destroy(self._plan)
        self._plan = area_plan_create(image.height, image.width, image.channels, self.height, self.width)
        if self._plan == NULL:
            raise MemoryError(f"no memory to shrink {image.width}x{image.height} frames")
        self._plan_height = image.height
        self._plan_width = image.width
        self._plan_channels = image.channels
        return 0

    cdef void _shrink(self, const Image *image, uint8_t *out) noexcept nogil:
        cdef uint8_t *levels = self._levels if self._has_motion else out
        if self._is_float and not self._has_motion:
            area_shrink_floats(self._plan, image.pixels, image.row_stride, image.is_bgr, <float *>out)
        else:
            area_shrink_bytes(self._plan, image.pixels, image.row_stride, image.is_bgr, self._level_map, levels)
        if self._has_motion:
            self._difference(out)

    cdef void _difference(self, uint8_t *out) noexcept nogil:
        cdef uint8_t *now = self._grey_of(self._greys_seen)
        cdef uint8_t *before = now if self._greys_seen < 1 else self._grey_of(self._greys_seen - 1)
        cdef uint8_t *earlier = before if self._greys_seen < 2 else self._grey_of(self._greys_seen - 2)
        motion_grey(self._levels, self._pixel_count, now)
        if self._is_float:
            motion_floats(now, before, earlier, self._pixel_count, <float *>out)
        else:
            motion_bytes(now, before, earlier, self._pixel_count, self._difference_map, out)
        self._greys_seen += 1

    cdef inline uint8_t *_grey_of(self, int64_t frame) noexcept nogil:
        return self._greys + <size_t>(frame % 3) * self._pixel_count

    cdef int _open_output(self, object out, Py_buffer *buffer) except -1:
        # Takes the buffer of `out`, which the caller must release.
        want = f"a writable C-contiguous {self.dtype} array ({self.height}, {self.width}, 3), or (1, ...) of it"
        if not PyObject_CheckBuffer(out):
            raise TypeError(f"out must be {want}; got {type(out).__name__}")
        try:
            PyObject_GetBuffer(out, buffer, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE | PyBUF_FORMAT)
        except (BufferError, ValueError) as error:
            raise ValueError(f"out must be {want}; this one is not ({error})") from None
        problem = None
        if _buffer_code(buffer) != BUFFER_CODES[self.dtype]:
            problem = TypeError(f"out must be {want}; got {_type_name(_buffer_code(buffer))}")
        elif not self._holds_a_slot(buffer):
            problem = ValueError(f"out must be {want}; got shape {_buffer_shape(buffer)}")
        if problem is not None:
            PyBuffer_Release(buffer)
            raise problem
        return 0

    cdef bint _holds_a_slot(self, const Py_buffer *buffer) noexcept:
        cdef int leading = buffer.ndim - 3
        cdef int i
        if leading < 0:
            return False
        for i in range(leading):
            if buffer.shape[i] != 1:
                return False
        return (
            buffer.shape[leading] == self.height
            and buffer.shape[leading + 1] == self.width
            and buffer.shape[leading + 2] == 3
        )


cdef int _open_image(object frame, Py_buffer *buffer, Image *image) except -1:
    # Takes the buffer of a frame's pixels, which the caller must release, and describes it in `image`.
    cdef int channels = 3
    pixels = frame
    image.is_bgr = True
    if isinstance(frame, Frame):
        pixels = frame.data
        pixel_format = frame.format
        if pixel_format is GRAY8:
            channels = 1
        elif pixel_format is RGB24:
            image.is_bgr = False
        elif pixel_format is not BGR24:
            raise ValueError(f"a Frame's format must be BGR24, RGB24 or GRAY8; got {pixel_format!r}")
    if not PyObject_CheckBuffer(pixels):
        raise TypeError(f"expected a Frame or a uint8 (H, W, 3) BGR array; got {type(pixels).__name__}")
    try:
        PyObject_GetBuffer(pixels, buffer, PyBUF_RECORDS_RO)
    except (BufferError, ValueError) as error:  # object, datetime and other arrays that are not plain numbers
        raise TypeError(f"a frame must be of uint8, levels 0-255; {error}") from None
    try:
        if not _describe(buffer, channels, image):
            import numpy

            packed = numpy.ascontiguousarray(pixels)
            PyBuffer_Release(buffer)
            PyObject_GetBuffer(packed, buffer, PyBUF_RECORDS_RO)
            _describe(buffer, channels, image)
    except BaseException:
        PyBuffer_Release(buffer)
        raise
    return 0


cdef bint _describe(const Py_buffer *buffer, int channels, Image *image) except -1:
    # False where the pixels of a row are not adjacent.
    if buffer.format[0] != b"B" or buffer.format[1] != 0:
        raise TypeError(f"a frame must be of uint8, levels 0-255; got {_type_name(_buffer_code(buffer))}")
    if buffer.ndim != (3 if channels == 3 else 2) or (channels == 3 and buffer.shape[2] != 3):
        want = "(height, width, 3)" if channels == 3 else "(height, width) for GRAY8"
        raise ValueError(f"a frame must have shape {want}; got {_buffer_shape(buffer)}")
    if not (
        AREA_MIN_SOURCE <= buffer.shape[0] <= AREA_MAX_SIDE and AREA_MIN_SOURCE <= buffer.shape[1] <= AREA_MAX_SIDE
    ):
        raise ValueError(
            f"a frame must be {AREA_MIN_SOURCE} to {AREA_MAX_SIDE} pixels wide and high;"
            f" this one is {buffer.shape[1]}x{buffer.shape[0]}"
        )
    image.pixels = <const uint8_t *>buffer.buf
    image.row_stride = buffer.strides[0]
    image.height = <int>buffer.shape[0]
    image.width = <int>buffer.shape[1]
    image.channels = channels
    return buffer.strides[1] == channels and (channels == 1 or buffer.strides[2] == 1)


cdef uint8_t *_address(object array) except NULL:
    # The array owns its memory and never moves it, so the address outlives the buffer.
    cdef Py_buffer buffer
    PyObject_GetBuffer(array, &buffer, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    cdef uint8_t *address = <uint8_t *>buffer.buf
    PyBuffer_Release(&buffer)
    return address


cdef uint8_t _quantise(int value, double scale, int zero_point) noexcept:
    # value / 255 as an int8 of this scale and zero point, in the bits of a uint8.
    cdef double q = floor(value / 255.0 / scale + 0.5) + zero_point
    return <uint8_t><signed char>max(-128.0, min(127.0, q))


def _whole_number(name, value, low, high):
    try:
        number = value.__index__()
    except AttributeError:
        raise TypeError(f"{name} must be a whole number; got {value!r}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} must be {low} to {high}; got {number}")
    return number


def _check_kind(channels, dtype, scale, zero_point, motion):
    if channels != 3:
        raise ValueError(f"channels must be 3 (RGB, or three differences); got {channels!r}")
    if dtype not in BUFFER_CODES:
        raise ValueError(f"dtype must be one of {', '.join(BUFFER_CODES)}; got {dtype!r}")
    if motion not in ("none", "grey-difference"):
        raise ValueError(f"motion must be 'none' or 'grey-difference'; got {motion!r}")
    if motion != "none" and dtype == "uint8":
        raise ValueError("motion='grey-difference' has negative values: use dtype 'int8' or 'float32', not 'uint8'")
    if not (isinstance(scale, numbers.Real) and math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be a positive number; got {scale!r}")
    _whole_number("zero_point", zero_point, -128, 127)


cdef object _buffer_shape(const Py_buffer *buffer):
    return tuple([buffer.shape[i] for i in range(buffer.ndim)])


cdef object _buffer_code(const Py_buffer *buffer):
    return <bytes>buffer.format


def _type_name(code):
    names = {b"b": "int8", b"B": "uint8", b"f": "float32", b"d": "float64", b"?": "bool", b"H": "uint16", b"h": "int16"}
    return names.get(code, f"buffer format {code.decode()!r}")
