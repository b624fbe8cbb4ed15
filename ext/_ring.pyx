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
from libc.string cimport memcmp, memcpy, memset

from edgehar.frames import Frame, PixelFormat, YuvMatrix

include "kernel.pxi"
include "images.pxi"
include "options.pxi"


cdef class FrameRing:
    """The last `window` frames, area-averaged to `height` x `width` RGB and quantised as a network wants them.

    Output pixel (y, x) is the mean of the source over [y*H/height, (y+1)*H/height) x [x*W/width, (x+1)*W/width), with
    exact rational weights whether it shrinks or enlarges, rounded once, half up, to a level 0-255. Then, by `dtype`:

    - `"uint8"`: the level.
    - `"int8"`: `floor(level / 255 / scale + 0.5) + zero_point`, saturated to -128..127: TFLite's affine quantisation of
      the value level / 255. With the default scale and zero point it is level - 128.
    - `"float32"`: the average before rounding, divided by 255, less `mean`, divided by `std`.

    Y, U and V of I420, NV12 and YUYV frames are averaged at their own size and converted to RGB after that (ITU-R
    BT.601 or BT.709, as the frame says), from averages rounded to 1/256 of a level, or unrounded for float32.

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
        crop: what happens to frames of another shape than `height` x `width`. `"stretch"`: nothing. `"center"`: the
            largest rectangle of that shape is cut from their middle. `"letterbox"`: they are shrunk whole, with
            black (level 0) beside them.
        region: the part of every frame that is looked at, (x, y, width, height) as shares 0-1 of the frame, rounded to
            whole pixels; `crop` acts within it. None is the whole frame.
        mean: for float32 without motion: what is taken off R, G and B, each 0-1.
        std: for float32 without motion: what R, G and B are then divided by.

    Raises:
        ValueError: an argument is outside these limits.
        MemoryError: the ring does not fit in memory.
    """

    cdef readonly int window_length
    cdef readonly int height
    cdef readonly int width
    cdef readonly str dtype
    cdef readonly str motion
    cdef readonly str crop

    cdef object _lock
    cdef object _storage       # ndarray (2 * window, height, width, 3)
    cdef object _frozen        # the same, read-only: what views are cut from
    cdef uint8_t *_slots       # its first byte
    cdef size_t _pixel_count   # of a small frame
    cdef size_t _slot_bytes
    cdef bint _is_float
    cdef bint _has_motion
    cdef int64_t _count

    cdef double _region[4]     # x, y, width, height, shares of the frame

    cdef area_plan *_plan
    cdef area_geometry _geometry  # what the plan is for: layout and size of the last frame
    cdef bint _has_border      # letterboxed: the image does not fill the slot
    cdef size_t _first_value   # of the image in a slot

    cdef double _gain[3]       # float32 only
    cdef double _bias[3]

    cdef uint8_t _level_map[256]
    cdef uint8_t _difference_map[511]
    cdef uint8_t *_levels      # motion only: the shrunk RGB levels of this frame
    cdef uint8_t *_greys       # motion only: grey levels of the last three frames, frame i at i % 3
    cdef int64_t _greys_seen

    def __cinit__(
        self, window, height, width, channels=3, dtype="int8", scale=1.0 / 255.0, zero_point=-128, *, motion="none",
        crop="stretch", region=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
    ):
        import numpy

        self.window_length = _whole_number("window", window, 1, 1 << 20)
        self.height = _whole_number("height", height, 1, AREA_MAX_SIDE)
        self.width = _whole_number("width", width, 1, AREA_MAX_SIDE)
        _check_kind(channels, dtype, scale, zero_point, motion, crop)
        self.dtype, self.motion, self.crop = dtype, motion, crop
        self._region[0], self._region[1], self._region[2], self._region[3] = _check_region(region)
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
        means, deviations = _check_normalisation(mean, std, dtype, motion)
        for i in range(3):
            self._gain[i] = 1.0 / (255.0 * <double>deviations[i])
            self._bias[i] = -<double>means[i] / <double>deviations[i]
        if self._has_motion:
            self._levels = <uint8_t *>malloc(self._pixel_count * 3)
            self._greys = <uint8_t *>malloc(self._pixel_count * 3)
            if self._levels == NULL or self._greys == NULL:
                raise MemoryError("no memory for the motion history")

    def __dealloc__(self):
        self._free()

    cdef void _free(self) noexcept:
        area_plan_destroy(self._plan)
        free(self._levels)
        free(self._greys)
        self._plan = NULL
        self._levels = self._greys = NULL

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
            frame: a `Frame` (`PixelFormat` says the shapes) or a uint8 `(H, W, 3)` array, BGR; 0-255; H and W from 8 to
                8192. Strided rows are read in place; only where the samples of a row are not adjacent (a mirrored or
                decimated view) is a copy made first.

        Returns:
            Its index: 0 for the first frame after construction or `reset`, then 1, 2, ...

        Raises:
            TypeError: not a frame, or not of uint8.
            ValueError: another shape, size or pixel format, a `region` of less than a pixel, or a closed ring.
        """
        cdef Image image
        cdef uint8_t *slot
        cdef uint8_t *mirror
        cdef int64_t index = 0
        _open_image(frame, &image)
        try:
            with self._lock:
                self._fit_plan(&image)
                index = self._count
                slot = self._slots + <size_t>(index % self.window_length) * self._slot_bytes
                mirror = slot + <size_t>self.window_length * self._slot_bytes
                with nogil:
                    self._shrink(&image, slot)
                    memcpy(mirror, slot, self._slot_bytes)
                self._count = index + 1
        finally:
            _close_image(&image)
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
            ValueError: as for `push`, or `out` has another shape or cannot be written to.
        """
        cdef Py_buffer out_buffer
        cdef Image image
        self._open_output(out, &out_buffer)
        try:
            _open_image(frame, &image)
            try:
                with self._lock:
                    self._fit_plan(&image)
                    with nogil:
                        self._shrink(&image, <uint8_t *>out_buffer.buf)
            finally:
                _close_image(&image)
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

    def close(self):
        """Let go of the memory. Views handed out stay as they are; a push raises ValueError. Safe to call twice."""
        with self._lock:
            self._free()
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

    def __repr__(self):
        return (
            f"FrameRing(window={self.window_length}, height={self.height}, width={self.width}, dtype={self.dtype!r},"
            f" motion={self.motion!r}, count={self._count})"
        )

    cdef int _fit_plan(self, const Image *image) except -1:
        # Makes the plan that frames like this one need, unless the last frame needed the same.
        cdef area_geometry g
        cdef int top = 0
        cdef int left = 0
        if self._slots == NULL:
            raise ValueError("the ring is closed")
        if (
            self._plan != NULL
            and self._geometry.layout == image.layout
            and self._geometry.source_height == image.height
            and self._geometry.source_width == image.width
        ):
            return 0
        g.layout, g.source_height, g.source_width = image.layout, image.height, image.width
        g.height, g.width = self.height, self.width
        _share_to_pixels(self._region[0], self._region[2], image.width, &g.left, &g.region_width)
        _share_to_pixels(self._region[1], self._region[3], image.height, &g.top, &g.region_height)
        if self.crop == "center":
            _keep_shape(&g)
        elif self.crop == "letterbox":
            _fit_inside(&g, &top, &left)
        area_plan_destroy(self._plan)
        self._plan = area_plan_create(&g)
        if self._plan == NULL:
            raise MemoryError(f"no memory to shrink {image.width}x{image.height} frames")
        self._geometry = g
        self._has_border = g.height != self.height or g.width != self.width
        self._first_value = (<size_t>top * self.width + left) * 3
        return 0

    cdef void _shrink(self, const Image *image, uint8_t *out) noexcept nogil:
        cdef area_output output
        cdef uint8_t *levels = self._levels if self._has_motion else out
        output.reversed = image.reversed
        output.row_stride = 3 * self.width
        output.yuv = area_yuv_matrix(
            0.2126 if image.is_bt709 else 0.299, 0.0722 if image.is_bt709 else 0.114, image.full_range
        )
        if self._is_float and not self._has_motion:
            if self._has_border:
                self._blacken(<float *>out)
            area_shrink_floats(
                self._plan, &image.samples, &output, self._gain, self._bias, <float *>out + self._first_value
            )
            return
        if self._has_border:
            memset(levels, self._level_map[0], self._pixel_count * 3)
        area_shrink_bytes(self._plan, &image.samples, &output, self._level_map, levels + self._first_value)
        if self._has_motion:
            self._difference(out)

    cdef void _blacken(self, float *out) noexcept nogil:
        cdef size_t i
        for i in range(self._pixel_count * 3):
            out[i] = <float>self._bias[i % 3]

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
