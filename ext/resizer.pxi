# Part of _ring.pyx: the Resizer.


cdef class Resizer:
    """Resize frames to `height` x `width` RGB by area averaging, and quantize them as a network expects them.

    Output pixel (y, x) is the mean of the source over [y*H/height, (y+1)*H/height) x [x*W/width, (x+1)*W/width), with
    exact rational weights for shrinking and enlarging, rounded once, half up, to a level 0-255. Then, by `dtype`:

    - `"uint8"`: the level.
    - `"int8"`: `floor(level / 255 / scale + 0.5) + zero_point`, saturated to -128..127: TFLite's affine quantization of
      the value level / 255. With the default scale and zero point it is level - 128.
    - `"float32"`: the average before rounding, divided by 255, minus `mean`, divided by `std`.

    Y, U and V of I420, NV12 and YUYV frames are averaged at their own size and then converted to RGB (ITU-R BT.601 or
    BT.709, as the frame says), from averages rounded to 1/256 of a level, or unrounded for float32.

    With `motion="grey-difference"` the channels are instead t - (t-1), t - (t-2) and |t - (t-1)| of the grey levels
    `(77 R + 150 G + 29 B + 128) >> 8` of the rounded pixels of frame t and the frames before it; int8 quantizes d / 255
    as above, float32 gives d / 255. The scene is taken to stand still before the first frame: its differences are 0.

    A call allocates nothing unless the size or format of the frames changes, and it runs without the GIL. Concurrent
    calls wait for each other.

    Args:
        height: rows of the output, 1 to 8192 pixels.
        width: columns of the output, 1 to 8192 pixels.
        channels: 3 (RGB, or the three differences).
        dtype: type of the output.
        scale: quantization step of int8, in units of level / 255; ignored for uint8 and float32.
        zero_point: int8 value of level 0, -128 to 127; ignored for uint8 and float32.
        motion: `"none"` or `"grey-difference"` (int8 and float32 only).
        crop: how frames with another aspect ratio than `height` x `width` fit. `"stretch"`: squeeze the whole frame.
            `"center"`: cut the largest rectangle of that shape from the middle. `"letterbox"`: shrink the whole frame
            and fill the sides with black (level 0).
        region: part of every frame to use, (x, y, width, height) as shares 0-1 of the frame, rounded to whole pixels;
            `crop` applies within it. None is the whole frame.
        mean: for float32 without motion: subtracted from R, G and B, each 0-1.
        std: for float32 without motion: divides R, G and B after that.

    Raises:
        ValueError: an argument is outside its limits.
        MemoryError: the motion history does not fit in memory.
    """

    cdef readonly int height
    cdef readonly int width
    cdef readonly str dtype
    cdef readonly str motion
    cdef readonly str crop

    cdef Lock _lock
    cdef bint _closed
    cdef size_t _pixel_count   # of an output
    cdef size_t _value_bytes
    cdef bint _is_float
    cdef bint _has_motion

    cdef double _region[4]     # x, y, width, height, shares of the frame

    cdef area_plan *_plan
    cdef area_geometry _geometry  # layout and size of the last frame, which the plan is for
    cdef bint _has_border      # letterboxed: the image does not fill the output
    cdef size_t _first_value   # of the image in the output

    cdef double _gain[3]       # float32 only
    cdef double _bias[3]

    cdef uint8_t _level_map[256]
    cdef uint8_t _difference_map[511]
    cdef uint8_t *_levels      # motion only: the resized RGB levels of this frame
    cdef uint8_t *_greys       # motion only: grey levels of the last three frames, frame i at i % 3
    cdef int64_t _greys_seen

    def __cinit__(
        self, height, width, channels=3, dtype="int8", scale=1.0 / 255.0, zero_point=-128, *, motion="none",
        crop="stretch", region=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
    ):
        self.height = _whole_number("height", height, 1, AREA_MAX_SIDE)
        self.width = _whole_number("width", width, 1, AREA_MAX_SIDE)
        _check_kind(channels, dtype, scale, zero_point, motion, crop)
        self.dtype, self.motion, self.crop = dtype, motion, crop
        self._region[0], self._region[1], self._region[2], self._region[3] = _check_region(region)
        self._is_float = dtype == "float32"
        self._has_motion = motion != "none"
        self._lock = Lock()
        self._pixel_count = <size_t>self.height * self.width
        self._value_bytes = self._pixel_count * 3 * (4 if self._is_float else 1)
        self._fill_maps(scale, zero_point)
        means, deviations = _check_normalization(mean, std, dtype, motion)
        for i in range(3):
            self._gain[i] = 1.0 / (255.0 * <double>deviations[i])
            self._bias[i] = -<double>means[i] / <double>deviations[i]
        if self._has_motion:
            self._levels = <uint8_t *>malloc(self._pixel_count * 3)
            self._greys = <uint8_t *>malloc(self._pixel_count * 3)
            if self._levels == NULL or self._greys == NULL:
                raise MemoryError("not enough memory for the motion history")

    def __dealloc__(self):
        self._free()

    cdef void _free(self) noexcept:
        area_plan_destroy(self._plan)
        free(self._levels)
        free(self._greys)
        self._plan = NULL
        self._levels = self._greys = NULL

    cdef int _fill_maps(self, double scale, int zero_point) except -1:
        # uint8 levels, and the levels that motion is computed from, are not quantized.
        cdef bint quantized = self.dtype == "int8"
        cdef int i
        for i in range(256):
            self._level_map[i] = _quantize(i, scale, zero_point) if quantized and not self._has_motion else i
        for i in range(-255, 256):
            self._difference_map[i + 255] = _quantize(i, scale, zero_point)
        return 0

    def resize(self, frame):
        """Resize a frame into a new array; arguments and errors as for `resize_into`.

        Returns:
            C-contiguous array `(height, width, 3)` of `dtype`.
        """
        import numpy

        out = numpy.empty((self.height, self.width, 3), self.dtype)
        self.resize_into(frame, out)
        return out

    def resize_into(self, frame, out):
        """Resize a frame into `out`, for example an interpreter's input tensor. The motion history advances by one.

        Args:
            frame: a `Frame` (`PixelFormat` gives the shapes) or a uint8 `(H, W, 3)` BGR array; levels 0-255; H and W
                from 8 to 8192. Strided rows are read in place; a copy is made only if the samples of a row are not
                adjacent (a mirrored or decimated view).
            out: writable C-contiguous array of `dtype`, `(height, width, 3)` after any leading dimensions of 1, such
                as `(1, height, width, 3)`.

        Raises:
            TypeError: not a frame, or `frame` or `out` has another dtype.
            ValueError: another shape, size or pixel format, a `region` of less than a pixel, a closed resizer, or an
                `out` of another shape or that is read-only.
        """
        cdef Py_buffer out_buffer
        cdef Image image
        self._open_output(out, &out_buffer)
        try:
            _open_image(frame, &image)
            try:
                self._lock.take()
                try:
                    self._fit_plan(&image)
                    with nogil:
                        self._shrink(&image, <uint8_t *>out_buffer.buf)
                finally:
                    self._lock.free()
            finally:
                _close_image(&image)
        finally:
            PyBuffer_Release(&out_buffer)

    def reset(self):
        """Forget the motion history: the scene is taken to stand still before the next frame."""
        with self._lock:
            self._greys_seen = 0

    def close(self):
        """Free the memory. Later calls raise ValueError. Safe to call twice."""
        with self._lock:
            self._free()
            self._closed = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"Resizer(height={self.height}, width={self.width}, dtype={self.dtype!r}, motion={self.motion!r})"

    cdef int _fit_plan(self, const Image *image) except -1:
        # Makes the plan for frames of this size and layout, unless the last frame had the same.
        cdef area_geometry g
        cdef int top = 0
        cdef int left = 0
        if self._closed:
            raise ValueError("it is closed")
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
            raise MemoryError(f"not enough memory to resize {image.width}x{image.height} frames")
        self._geometry = g
        self._has_border = g.height != self.height or g.width != self.width
        self._first_value = (<size_t>top * self.width + left) * 3
        return 0

    cdef void _shrink(self, const Image *image, uint8_t *out) noexcept nogil:
        cdef area_output output
        cdef uint8_t *levels = self._levels if self._has_motion else out
        self._describe_output(image, &output)
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

    cdef void _shrink_greys(self, const Image *image, uint8_t *out) noexcept nogil:
        # The grey levels of what `_shrink` gives for uint8.
        cdef area_output output
        self._describe_output(image, &output)
        output.row_stride = self.width
        if self._has_border:
            memset(out, 0, self._pixel_count)
        area_shrink_greys(self._plan, &image.samples, &output, out + self._first_value // 3)

    cdef void _describe_output(self, const Image *image, area_output *output) noexcept nogil:
        output.reversed = image.reversed
        output.row_stride = 3 * self.width
        output.yuv = area_yuv_matrix(
            0.2126 if image.is_bt709 else 0.299, 0.0722 if image.is_bt709 else 0.114, image.full_range
        )

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
        # Opens the buffer of `out`. The caller must release it.
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
        elif not self._fits_output(buffer):
            problem = ValueError(f"out must be {want}; got shape {_buffer_shape(buffer)}")
        if problem is not None:
            PyBuffer_Release(buffer)
            raise problem
        return 0

    cdef bint _fits_output(self, const Py_buffer *buffer) noexcept:
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
