# Part of _ring.pyx: check a frame and describe it for the C code.

cdef dict BUFFER_CODES = {"int8": b"b", "uint8": b"B", "float32": b"f"}

cdef object BT601 = YuvMatrix.BT601
cdef object BT709 = YuvMatrix.BT709

# Per format: layout, whether blue comes first, and for each plane the rows and columns that share a sample and the
# bytes per sample.
cdef dict FORMATS = {
    PixelFormat.BGR24: (AREA_THREE, True, ((1, 1, 3),)),
    PixelFormat.RGB24: (AREA_THREE, False, ((1, 1, 3),)),
    PixelFormat.BGRA32: (AREA_FOUR, True, ((1, 1, 4),)),
    PixelFormat.RGBA32: (AREA_FOUR, False, ((1, 1, 4),)),
    PixelFormat.GRAY8: (AREA_GREY, False, ((1, 1, 1),)),
    PixelFormat.I420: (AREA_I420, False, ((1, 1, 1), (2, 2, 1), (2, 2, 1))),
    PixelFormat.NV12: (AREA_NV12, False, ((1, 1, 1), (2, 2, 2))),
    PixelFormat.YUYV: (AREA_YUYV, False, ((1, 1, 2),)),
}

cdef struct Kind:
    # The same as C values, which need no objects to be made.
    area_layout layout
    bint reversed
    int plane_count
    int rows_shared[3]
    int columns_shared[3]
    int depth[3]


cdef enum:
    KIND_COUNT = 8

cdef Kind[KIND_COUNT] KINDS
# A format is found by its identity, because the hash of an enum is a call of Python.
cdef tuple KIND_FORMATS = tuple(FORMATS)
cdef int BGR24 = KIND_FORMATS.index(PixelFormat.BGR24)
cdef object FRAME = Frame


cdef int _fill_kinds() except -1:
    cdef int number, plane
    for number, (layout, reversed_order, planes) in enumerate(FORMATS.values()):
        KINDS[number].layout = <area_layout><int>layout
        KINDS[number].reversed = reversed_order
        KINDS[number].plane_count = len(planes)
        for plane, (rows, columns, depth) in enumerate(planes):
            KINDS[number].rows_shared[plane] = rows
            KINDS[number].columns_shared[plane] = columns
            KINDS[number].depth[plane] = depth
    return 0


_fill_kinds()


cdef struct Image:
    # One frame: its planes, borrowed from the buffers.
    area_image samples
    area_layout layout
    int height
    int width
    bint reversed
    bint is_bt709
    bint full_range
    Py_buffer buffers[3]
    int held


cdef int _open_image(object frame, Image *image) except -1:
    # Open the buffers of a frame's planes. `_close_image` releases them. After an error no buffer is open.
    cdef int number, found = BGR24
    image.held = 0
    image.is_bt709 = image.full_range = False
    data = frame
    if isinstance(frame, FRAME):
        data, matrix = frame.data, frame.matrix
        if matrix is not BT601 and matrix is not BT709:
            raise ValueError(f"a Frame's matrix must be a YuvMatrix; got {matrix!r}")
        image.is_bt709 = matrix is BT709
        image.full_range = bool(frame.full_range)
        found = _kind_of(frame.format)
    image.layout, image.reversed = KINDS[found].layout, KINDS[found].reversed
    try:
        if KINDS[found].plane_count == 1:
            return _open_plane(data, found, 0, image)
        _check_planes(data, found)
        for number in range(KINDS[found].plane_count):
            _open_plane((<tuple>data)[number], found, number, image)
    except BaseException:
        _close_image(image)
        raise
    return 0


cdef int _kind_of(object pixel_format) except -1:
    cdef int number
    for number in range(KIND_COUNT):
        if KIND_FORMATS[number] is pixel_format:
            return number
    raise ValueError(f"a Frame's format must be a PixelFormat; got {pixel_format!r}")


cdef void _close_image(Image *image) noexcept:
    while image.held:
        image.held -= 1
        PyBuffer_Release(&image.buffers[image.held])


cdef int _check_planes(object data, int kind) except -1:
    cdef Py_ssize_t count = KINDS[kind].plane_count
    if not isinstance(data, tuple) or len(data) != count:
        found = f"a tuple of {len(data)}" if isinstance(data, tuple) else type(data).__name__
        raise TypeError(
            f"the data of a frame in {KIND_FORMATS[kind].name} must be a tuple of {count} planes; got {found}"
        )
    return 0


cdef int _open_plane(object samples, int kind, int number, Image *image) except -1:
    cdef Py_buffer *buffer = &image.buffers[number]
    cdef int rows_shared = KINDS[kind].rows_shared[number], columns_shared = KINDS[kind].columns_shared[number]
    cdef int depth = KINDS[kind].depth[number]
    _take_buffer(samples, buffer)
    image.held = number + 1
    _check_plane(buffer, kind, number)
    if number == 0:
        _check_size(buffer, kind)
        image.height, image.width = <int>buffer.shape[0], <int>buffer.shape[1]
    elif (
        buffer.shape[0] != (image.height + rows_shared - 1) // rows_shared
        or buffer.shape[1] != (image.width + columns_shared - 1) // columns_shared
    ):
        raise ValueError(
            f"plane {number} of a {image.width}x{image.height} frame in {KIND_FORMATS[kind].name} must be"
            f" {(image.width + columns_shared - 1) // columns_shared} wide and"
            f" {(image.height + rows_shared - 1) // rows_shared} high; this one is {buffer.shape[1]}x{buffer.shape[0]}"
        )
    if not (buffer.strides[1] == depth and (depth == 1 or buffer.strides[2] == 1)):
        import numpy

        packed = numpy.ascontiguousarray(samples)
        image.held = number
        PyBuffer_Release(buffer)
        PyObject_GetBuffer(packed, buffer, PyBUF_RECORDS_RO)
        image.held = number + 1
    image.samples.planes[number] = <const uint8_t *>buffer.buf
    image.samples.strides[number] = buffer.strides[0]
    return 0


cdef int _take_buffer(object samples, Py_buffer *buffer) except -1:
    if not PyObject_CheckBuffer(samples):
        raise TypeError(f"expected a Frame or a uint8 (H, W, 3) BGR array; got {type(samples).__name__}")
    try:
        PyObject_GetBuffer(samples, buffer, PyBUF_RECORDS_RO)
    except (BufferError, ValueError) as error:  # arrays of objects or dates
        raise TypeError(f"a frame must be of uint8, levels 0-255; {error}") from None
    return 0


cdef int _check_plane(const Py_buffer *buffer, int kind, int number) except -1:
    cdef int depth = KINDS[kind].depth[number]
    if buffer.format[0] != b"B" or buffer.format[1] != 0:
        raise TypeError(f"a frame must be of uint8, levels 0-255; got {_type_name(_buffer_code(buffer))}")
    if buffer.ndim != (2 if depth == 1 else 3) or (depth > 1 and buffer.shape[2] != depth):
        which = f"plane {number} of a frame" if number else "a frame"
        want = "(height, width)" if depth == 1 else f"(height, width, {depth})"
        raise ValueError(f"{which} in {KIND_FORMATS[kind].name} must have shape {want}; got {_buffer_shape(buffer)}")
    return 0


cdef int _check_size(const Py_buffer *buffer, int kind) except -1:
    cdef int i
    for i in range(2):
        if not AREA_MIN_SOURCE <= buffer.shape[i] <= AREA_MAX_SIDE:
            raise ValueError(
                f"a frame must be {AREA_MIN_SOURCE} to {AREA_MAX_SIDE} pixels wide and high;"
                f" this one is {buffer.shape[1]}x{buffer.shape[0]}"
            )
    if KINDS[kind].layout == AREA_YUYV and buffer.shape[1] % 2:
        raise ValueError(f"a frame in YUYV must have an even width; this one is {buffer.shape[1]} wide")
    return 0


cdef object _buffer_shape(const Py_buffer *buffer):
    return tuple([buffer.shape[i] for i in range(buffer.ndim)])


cdef object _buffer_code(const Py_buffer *buffer):
    return <bytes>buffer.format


def _type_name(code):
    names = {b"b": "int8", b"B": "uint8", b"f": "float32", b"d": "float64", b"?": "bool", b"H": "uint16", b"h": "int16"}
    return names.get(code, f"buffer format {code.decode()!r}")
