# Part of _ring.pyx: two looks at each frame, the whole picture and the part that moves most.


cdef class LookResizer:
    """Two motion inputs of each frame: "whole", the whole picture, and "crop", the square that moves most.

    1. The base picture: the frame, averaged over areas to 240x320 as by `Resizer`, as grey levels
       `(77 R + 150 G + 29 B + 128) >> 8`. The last three are kept; before the first frame, the scene stood still.
    2. "whole": the base picture as `Resizer(height, width, motion="grey-difference")` resizes it.
    3. Energy: the base picture is averaged over cells of 4x4 pixels, rounded half up. Each cell has an energy E, 0 at
       the first frame. With each further frame, `E += ((256 * d - E) * 24) >> 8`, where d is the part of the cell's
       difference to the frame before that is beyond 6 levels: a moving average of 0.8 s at 12.5 frames a second.
    4. The place: the square of `crop_side` pixels, on whole cells, with the largest weighted sum of energy, the first in
       row order among equals; the middle of the picture if all energy is 0. The weight of a cell is the product of those
       of its row and its column in the square: `min(i + 1, n - i)` for number i of n.
    5. "crop": this square of the base pictures of t, t-1 and t-2, each averaged over areas to `height` x `width`, and
       their differences as in "whole". The square is the same in all three, so that a change of place does not look like motion.

    With `stabilize`, a base picture that the camera's shake has moved is moved back before all of this:

    1. The sums of its columns in four bands of 60 rows are compared with a slow mean of those before at every shift up to
       24 pixels; likewise the sums of its rows in four bands of 80 columns. The shift to the right and the one down are
       those with the least sum of absolute differences, less their mean; none if that is one of 24 pixels. Then the
       same in eighths of a pixel around them.
    2. They count only if the moved picture is clearly more like the slow mean than the picture itself is: twice as many
       blocks get better by an eighth as get worse, and three in ten of all. A move of less than a pixel must also beat
       the one to the other side. Else the picture stays as it is.
    3. The picture is moved back with linear interpolation. Pixels that it then lacks at its border, or under a mask, are
       those of the picture before.

    With `steady_light`, a base picture that a change of light made darker or brighter is multiplied by a gain:

    1. The sums of 12 times 8 blocks are compared with those of the picture before, as it was shown. The gain is the
       median of the ratios, weighted by brightness, in 4096ths, between 1/2 and 2. Blocks darker than 16 levels, or with a sixteenth of their
       pixels at 250 or more, do not count.
    2. It counts only if it clearly makes the picture more like the one before: by two levels and a third in at least
       three in ten blocks, which are then within 1/32 of it, and in twice as many blocks as get less like it by two levels.
       Else the picture stays as it is.
    3. The picture is shown with a gain that is a 128th closer to 1, so that a light that stays on fades in. Overexposed pixels
       of a picture that gets darker stay as bright as in the picture before.

    With both, the shake is found at the brightness of the picture before, and the gain is judged on the picture moved back.

    Everything is integer arithmetic. A call allocates nothing unless the size or format of the frames changes, and runs
    without the GIL. Concurrent calls wait for each other.

    Args:
        height: rows of each look, 1 to 8192 pixels.
        width: columns of each look, 1 to 8192 pixels.
        scale: as for `Resizer`.
        zero_point: as for `Resizer`.
        crop_side: side of the square in pixels of the base picture: a multiple of 4 from 8 to 240.
        crop: how frames fit the base picture, as for `Resizer`.
        region: as for `Resizer`.
        stabilize: whether the motion of the whole picture is removed. Not with "letterbox", whose borders stand still.
        steady_light: whether changes of light are removed.

    Attributes:
        height: rows of each look.
        width: columns of each look.
        crop_side: side of the square, in pixels of the base picture.
        stabilize: whether the motion of the whole picture is removed.
        steady_light: whether changes of light are removed.

    Raises:
        ValueError: an argument is outside its limits.
        MemoryError: the pictures do not fit in memory.
    """

    cdef readonly int height
    cdef readonly int width
    cdef readonly int crop_side
    cdef readonly bint stabilize
    cdef readonly bint steady_light

    cdef Lock _lock
    cdef bint _closed
    cdef Resizer _base         # frame to the base picture
    cdef Resizer _whole        # base picture to grey levels
    cdef Resizer _cut          # square of a base picture to grey levels
    cdef size_t _pixel_count   # of a look
    cdef int64_t _seen         # frames
    cdef int _top, _left       # of the last square, in pixels of the base picture
    cdef int _down, _right     # how far the last frame was from where it is shown, in eighths of such a pixel
    cdef int _gain             # that the last frame was multiplied by, in parts of LIGHT_ONE
    cdef bint _masked

    cdef uint8_t *_bases       # of the last three frames, frame i at i % 3
    cdef uint8_t *_cells       # of the last two frames, frame i at i % 2
    cdef int32_t *_energy
    cdef uint8_t *_wholes      # grey levels of the first look at the last three frames, frame i at i % 3
    cdef uint8_t *_cuts        # grey levels of the squares of t, t-1 and t-2
    cdef uint8_t _difference_map[511]
    cdef uint8_t *_open        # 255 for each pixel of the base picture that is seen, 0 for a masked one
    cdef steady_state *_state  # NULL without stabilize and steady_light

    def __cinit__(
        self, height, width, scale=1.0 / 255.0, zero_point=0, *, crop_side=120, crop="stretch", region=None,
        stabilize=False, steady_light=False,
    ):
        self._whole = Resizer(height, width, 3, "uint8")
        self._cut = Resizer(height, width, 3, "uint8")
        self._base = Resizer(LOOKS_HEIGHT, LOOKS_WIDTH, 3, "uint8", crop=crop, region=region)
        self.height, self.width = self._whole.height, self._whole.width
        self.crop_side = _whole_number("crop_side", crop_side, 2 * LOOKS_CELL, LOOKS_HEIGHT)
        if self.crop_side % LOOKS_CELL:
            raise ValueError(f"crop_side must be a multiple of {LOOKS_CELL}; got {self.crop_side}")
        if stabilize and crop == "letterbox":
            raise ValueError("stabilize needs crop 'stretch' or 'center': the borders of 'letterbox' do not shake")
        self.stabilize, self.steady_light = stabilize, steady_light
        if not (_is_finite(scale) and scale > 0):
            raise ValueError(f"scale must be a positive number; got {scale!r}")
        _whole_number("zero_point", zero_point, -128, 127)
        for i in range(-255, 256):
            self._difference_map[i + 255] = _quantize(i, scale, zero_point)
        self._lock = Lock()
        self._pixel_count = <size_t>self.height * self.width
        self._bases = <uint8_t *>malloc(3 * LOOKS_HEIGHT * LOOKS_WIDTH)
        self._cells = <uint8_t *>malloc(2 * LOOKS_ROWS * LOOKS_COLUMNS)
        self._energy = <int32_t *>malloc(LOOKS_ROWS * LOOKS_COLUMNS * sizeof(int32_t))
        self._wholes = <uint8_t *>malloc(3 * self._pixel_count)
        self._cuts = <uint8_t *>malloc(3 * self._pixel_count)
        self._open = <uint8_t *>malloc(LOOKS_HEIGHT * LOOKS_WIDTH)
        if stabilize or steady_light:
            self._state = <steady_state *>malloc(sizeof(steady_state))
        if (
            self._bases == NULL or self._cells == NULL or self._energy == NULL or self._wholes == NULL
            or self._cuts == NULL or self._open == NULL or ((stabilize or steady_light) and self._state == NULL)
        ):
            raise MemoryError("not enough memory for the pictures of two looks")
        if self._state != NULL:
            steady_start(self._state, self.stabilize, self.steady_light)
        self._forget()

    def __dealloc__(self):
        self._free()

    cdef void _free(self) noexcept:
        free(self._bases)
        free(self._cells)
        free(self._energy)
        free(self._wholes)
        free(self._cuts)
        free(self._open)
        free(self._state)
        self._bases = self._cells = self._wholes = self._cuts = self._open = NULL
        self._energy = NULL
        self._state = NULL

    cdef void _forget(self) noexcept:
        self._seen = 0
        self._right = self._down = 0
        self._gain = LIGHT_ONE
        if self._state != NULL:
            self._state.started = False
        self._top = (LOOKS_HEIGHT - self.crop_side) // 2
        self._left = (LOOKS_WIDTH - self.crop_side) // 2
        memset(self._energy, 0, LOOKS_ROWS * LOOKS_COLUMNS * sizeof(int32_t))

    def resize(self, frame):
        """Make both looks of a frame in a new array; arguments and errors as for `resize_into`.

        Returns:
            C-contiguous int8 array `(2, height, width, 3)`.
        """
        import numpy

        out = numpy.empty((2, self.height, self.width, 3), "int8")
        self.resize_into(frame, out)
        return out

    def resize_into(self, frame, out):
        """Write both looks of a frame into `out`, for example an interpreter's input tensor. The history advances.

        Args:
            frame: as for `Resizer.resize_into`.
            out: writable C-contiguous int8 array, `(2, height, width, 3)` after any leading dimensions of 1.

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
                    self._take(&image, <uint8_t *>out_buffer.buf)
                finally:
                    self._lock.free()
            finally:
                _close_image(&image)
        finally:
            PyBuffer_Release(&out_buffer)

    def set_mask(self, mask):
        """Make pixels of the base picture black before anything else looks at them.

        Args:
            mask: uint8 `(240, 320)`, C-contiguous: 0 for a pixel that is black, 255 for one that is seen; None for no
                mask.

        Raises:
            TypeError: not such an array.
            ValueError: not such an array, or a closed resizer.
        """
        cdef Py_buffer buffer
        if mask is not None:
            PyObject_GetBuffer(mask, &buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
            try:
                if _buffer_code(&buffer) != b"B" or _buffer_shape(&buffer) != (LOOKS_HEIGHT, LOOKS_WIDTH):
                    raise ValueError(
                        f"mask must be uint8 ({LOOKS_HEIGHT}, {LOOKS_WIDTH}); got {_type_name(_buffer_code(&buffer))}"
                        f" {_buffer_shape(&buffer)}"
                    )
                with self._lock:
                    self._check_open()
                    memcpy(self._open, buffer.buf, LOOKS_HEIGHT * LOOKS_WIDTH)
            finally:
                PyBuffer_Release(&buffer)
        self._masked = mask is not None

    @property
    def place(self):
        """The square of the last frame's second look: (x, y, width, height) as shares 0-1 of the base picture.

        If the picture was moved back, the square is where it was before that, inside the picture.
        """
        cdef double left = self._left + self._right / <double>SHAKE_PARTS
        cdef double top = self._top + self._down / <double>SHAKE_PARTS
        return (
            max(0.0, min(LOOKS_WIDTH - self.crop_side, left)) / <double>LOOKS_WIDTH,
            max(0.0, min(LOOKS_HEIGHT - self.crop_side, top)) / <double>LOOKS_HEIGHT,
            self.crop_side / <double>LOOKS_WIDTH, self.crop_side / <double>LOOKS_HEIGHT,
        )

    @property
    def shake(self):
        """How far the last frame was to the right of, and below, where it is shown: (x, y), shares of the base picture.

        (0, 0) without `stabilize`.
        """
        return self._right / <double>(SHAKE_PARTS * LOOKS_WIDTH), self._down / <double>(SHAKE_PARTS * LOOKS_HEIGHT)

    @property
    def gain(self):
        """What the last frame's gray levels were multiplied by; 1 if they stayed as they were, and without `steady_light`."""
        return self._gain / <double>LIGHT_ONE

    def reset(self):
        """Forget all frames: the scene is taken to stand still before the next one."""
        with self._lock:
            self._check_open()
            self._forget()

    def close(self):
        """Free the memory. Later calls raise ValueError. Safe to call twice."""
        with self._lock:
            self._free()
            self._closed = True
        self._base.close()
        self._whole.close()
        self._cut.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return (
            f"LookResizer(height={self.height}, width={self.width}, crop_side={self.crop_side},"
            f" stabilize={bool(self.stabilize)}, steady_light={bool(self.steady_light)})"
        )

    cdef int _check_open(self) except -1:
        if self._closed:
            raise ValueError("it is closed")
        return 0

    cdef int _take(self, const Image *image, uint8_t *out) except -1:
        cdef Image whole
        cdef Image square
        self._check_open()
        _describe_grey(&whole, LOOKS_HEIGHT, LOOKS_WIDTH)
        _describe_grey(&square, self.crop_side, self.crop_side)
        self._base._fit_plan(image)
        self._whole._fit_plan(&whole)
        self._cut._fit_plan(&square)
        with nogil:
            self._look(image, &whole, &square, out)
        return 0

    cdef void _look(self, const Image *image, Image *whole, Image *square, uint8_t *out) noexcept nogil:
        cdef uint8_t *base = self._base_of(self._seen)
        self._base._shrink_greys(image, base)
        if self._masked:
            looks_mask(self._open, base)
        if self._state != NULL:
            steady_take(base, self._base_of(self._aged(1)), self._open if self._masked else NULL, self._state)
            self._right, self._down, self._gain = self._state.right, self._state.down, self._state.gain
        whole.samples.planes[0] = base
        self._whole._shrink_greys(whole, self._whole_of(self._seen))
        self._store(
            self._whole_of(self._seen), self._whole_of(self._aged(1)), self._whole_of(self._aged(2)), out
        )
        self._find(base)
        self._crop(square, out + 3 * self._pixel_count)
        self._seen += 1

    cdef inline void _store(
        self, const uint8_t *now, const uint8_t *before, const uint8_t *earlier, uint8_t *out
    ) noexcept nogil:
        motion_bytes(now, before, earlier, self._pixel_count, self._difference_map, out)

    cdef void _find(self, const uint8_t *base) noexcept nogil:
        # Moves the energy, and finds the square.
        cdef uint8_t *now = self._cells + <size_t>(self._seen % 2) * (LOOKS_ROWS * LOOKS_COLUMNS)
        cdef uint8_t *before = self._cells + <size_t>((self._seen + 1) % 2) * (LOOKS_ROWS * LOOKS_COLUMNS)
        cdef int top, left
        looks_cells(base, now)
        if self._seen > 0:
            looks_move_energy(now, before, self._energy)
        looks_place(self._energy, self.crop_side // LOOKS_CELL, &top, &left)
        self._top, self._left = top * LOOKS_CELL, left * LOOKS_CELL

    cdef void _crop(self, Image *square, uint8_t *out) noexcept nogil:
        cdef int age
        for age in range(3):
            square.samples.planes[0] = self._base_of(self._aged(age)) + self._top * LOOKS_WIDTH + self._left
            self._cut._shrink_greys(square, self._cuts + age * self._pixel_count)
        self._store(self._cuts, self._cuts + self._pixel_count, self._cuts + 2 * self._pixel_count, out)

    cdef inline int64_t _aged(self, int age) noexcept nogil:
        # The frame `age` frames ago; the first one if there were fewer.
        return self._seen - age if self._seen > age else 0

    cdef inline uint8_t *_whole_of(self, int64_t frame) noexcept nogil:
        return self._wholes + <size_t>(frame % 3) * self._pixel_count

    cdef inline uint8_t *_base_of(self, int64_t frame) noexcept nogil:
        return self._bases + <size_t>(frame % 3) * (LOOKS_HEIGHT * LOOKS_WIDTH)

    cdef int _open_output(self, object out, Py_buffer *buffer) except -1:
        # Opens the buffer of `out`. The caller must release it.
        shape = (2, self.height, self.width, 3)
        want = f"a writable C-contiguous int8 array {shape}, or (1, ...) of it"
        if not PyObject_CheckBuffer(out):
            raise TypeError(f"out must be {want}; got {type(out).__name__}")
        try:
            PyObject_GetBuffer(out, buffer, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE | PyBUF_FORMAT)
        except (BufferError, ValueError) as error:
            raise ValueError(f"out must be {want}; this one is not ({error})") from None
        found = _buffer_shape(buffer)
        problem = None
        if _buffer_code(buffer) != BUFFER_CODES["int8"]:
            problem = TypeError(f"out must be {want}; got {_type_name(_buffer_code(buffer))}")
        elif found[-4:] != shape or any(side != 1 for side in found[:-4]):
            problem = ValueError(f"out must be {want}; got shape {found}")
        if problem is not None:
            PyBuffer_Release(buffer)
            raise problem
        return 0


cdef void _describe_grey(Image *image, int height, int width) noexcept:
    # A part of a base picture; its address is set later.
    image.layout = AREA_GREY
    image.height, image.width = height, width
    image.reversed = image.is_bt709 = image.full_range = False
    image.samples.planes[0] = NULL
    image.samples.strides[0] = LOOKS_WIDTH
    image.held = 0
