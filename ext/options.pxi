# Part of _ring.pyx: check the arguments of Resizer and FrameRing, and derive the geometry.


cdef class Lock:
    # A lock whose taking is no call of Python.
    cdef PyThread_type_lock _lock

    def __cinit__(self):
        self._lock = PyThread_allocate_lock()
        if self._lock == NULL:
            raise MemoryError("not enough memory for a lock")

    def __dealloc__(self):
        if self._lock != NULL:
            PyThread_free_lock(self._lock)

    cdef inline void take(self) noexcept:
        if not PyThread_acquire_lock(self._lock, NOWAIT_LOCK):
            with nogil:
                PyThread_acquire_lock(self._lock, WAIT_LOCK)

    cdef inline void free(self) noexcept:
        PyThread_release_lock(self._lock)

    def __enter__(self):
        self.take()

    def __exit__(self, *_):
        self.free()


CROPS = ("stretch", "center", "letterbox")


def _whole_number(name, value, low, high):
    try:
        number = value.__index__()
    except AttributeError:
        raise TypeError(f"{name} must be a whole number; got {value!r}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} must be {low} to {high}; got {number}")
    return number


def _check_kind(channels, dtype, scale, zero_point, motion, crop):
    if channels != 3:
        raise ValueError(f"channels must be 3 (RGB, or three differences); got {channels!r}")
    if dtype not in BUFFER_CODES:
        raise ValueError(f"dtype must be one of {', '.join(BUFFER_CODES)}; got {dtype!r}")
    if motion not in ("none", "grey-difference"):
        raise ValueError(f"motion must be 'none' or 'grey-difference'; got {motion!r}")
    if motion != "none" and dtype == "uint8":
        raise ValueError("motion='grey-difference' has negative values: use dtype 'int8' or 'float32', not 'uint8'")
    if crop not in CROPS:
        raise ValueError(f"crop must be one of {', '.join(CROPS)}; got {crop!r}")
    if not (_is_finite(scale) and scale > 0):
        raise ValueError(f"scale must be a positive number; got {scale!r}")
    _whole_number("zero_point", zero_point, -128, 127)


def _check_region(region):
    """Return (x, y, width, height) as floats. None is the whole frame."""
    if region is None:
        return (0.0, 0.0, 1.0, 1.0)
    region = _as_tuple(region)
    if len(region) != 4 or not all(_is_finite(share) for share in region):
        raise ValueError(f"region must be four numbers, x, y, width and height; got {region!r}")
    x, y, width, height = map(float, region)
    if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < width <= 1 - x + 1e-9 and 0 < height <= 1 - y + 1e-9):
        raise ValueError(
            f"region must lie within the frame, as shares from 0 to 1: x, y, width, height; got {region!r}"
        )
    return x, y, width, height


def _check_normalization(mean, std, dtype, motion):
    """Return the means and standard deviations of the three channels as floats."""
    mean, std = _as_tuple(mean), _as_tuple(std)
    if len(mean) != 3 or len(std) != 3 or not all(_is_finite(value) for value in mean + std):
        raise ValueError(f"mean and std must be three numbers each, for R, G and B; got {mean!r} and {std!r}")
    if not all(value > 0 for value in std):
        raise ValueError(f"std must be positive; got {std!r}")
    if (mean != (0, 0, 0) or std != (1, 1, 1)) and (dtype != "float32" or motion != "none"):
        raise ValueError("mean and std are for dtype 'float32' without motion; int8 has scale and zero_point")
    return [float(value) for value in mean], [float(value) for value in std]


def _as_tuple(values):
    try:
        return tuple(values)
    except TypeError:  # one number
        return (values,)


def _is_finite(value):
    return isinstance(value, numbers.Real) and math.isfinite(value)


cdef uint8_t *_address(object array) except NULL:
    # The array owns its memory and never moves it, so the address stays valid after the buffer is released.
    cdef Py_buffer buffer
    PyObject_GetBuffer(array, &buffer, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    cdef uint8_t *address = <uint8_t *>buffer.buf
    PyBuffer_Release(&buffer)
    return address


cdef uint8_t _quantize(int value, double scale, int zero_point) noexcept:
    # Quantize value / 255 to int8 with this scale and zero point; return the bits as uint8.
    cdef double q = floor(value / 255.0 / scale + 0.5) + zero_point
    return <uint8_t><signed char>max(-128.0, min(127.0, q))


cdef int _share_to_pixels(double start, double share, int side, int *first, int *count) except -1:
    cdef int end = <int>floor((start + share) * side + 0.5)
    first[0] = <int>floor(start * side + 0.5)
    count[0] = min(end, side) - first[0]
    if count[0] < 1:
        raise ValueError(f"the region is less than one pixel of {side}; make it larger")
    return 0


cdef void _keep_shape(area_geometry *g) noexcept:
    # Shrink the region, around its center, to the largest one with the output's aspect ratio.
    cdef int64_t h = g.region_height, w = g.region_width
    cdef int kept
    if w * g.height > h * g.width:
        kept = <int>max(1, (2 * h * g.width + g.height) // (2 * g.height))
        g.left += (g.region_width - kept) // 2
        g.region_width = kept
    else:
        kept = <int>max(1, (2 * w * g.height + g.width) // (2 * g.width))
        g.top += (g.region_height - kept) // 2
        g.region_height = kept


cdef void _fit_inside(area_geometry *g, int *top, int *left) noexcept:
    # Shrink the output to the largest one with the region's aspect ratio, and return its position in the whole output.
    cdef int64_t h = g.region_height, w = g.region_width
    cdef int fitted
    if w * g.height > h * g.width:
        fitted = <int>max(1, (2 * h * g.width + w) // (2 * w))
        top[0] = (g.height - fitted) // 2
        g.height = fitted
    else:
        fitted = <int>max(1, (2 * w * g.height + h) // (2 * h))
        left[0] = (g.width - fitted) // 2
        g.width = fitted
