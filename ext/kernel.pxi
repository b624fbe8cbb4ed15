# Part of _ring.pyx: declarations of the C functions.

cdef extern from "area.h" nogil:
    enum:
        AREA_MIN_SOURCE
        AREA_MAX_SIDE
    ctypedef enum area_layout:
        AREA_GREY
        AREA_THREE
        AREA_FOUR
        AREA_I420
        AREA_NV12
        AREA_YUYV
    ctypedef struct area_geometry:
        area_layout layout
        int source_height, source_width
        int top, left, region_height, region_width
        int height, width
    ctypedef struct area_image:
        const uint8_t *planes[3]
        Py_ssize_t strides[3]
    ctypedef struct area_yuv:
        pass
    area_yuv area_yuv_matrix(double red_weight, double blue_weight, int full_range)
    ctypedef struct area_output:
        int reversed
        area_yuv yuv
        Py_ssize_t row_stride
    ctypedef struct area_plan:
        pass
    area_plan *area_plan_create(const area_geometry *geometry)
    void area_plan_destroy(area_plan *plan)
    void area_shrink_bytes(
        area_plan *plan, const area_image *image, const area_output *output, const uint8_t *map, uint8_t *out
    )
    void area_shrink_greys(area_plan *plan, const area_image *image, const area_output *output, uint8_t *out)
    void area_shrink_floats(
        area_plan *plan, const area_image *image, const area_output *output, const double *gain, const double *bias,
        float *out
    )

cdef extern from "motion.h" nogil:
    void motion_grey(const uint8_t *rgb, size_t count, uint8_t *grey)
    void motion_bytes(
        const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count, const uint8_t *map,
        uint8_t *out
    )
    void motion_floats(const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count, float *out)

cdef extern from "looks.h" nogil:
    enum:
        LOOKS_HEIGHT
        LOOKS_WIDTH
        LOOKS_CELL
        LOOKS_ROWS
        LOOKS_COLUMNS
    void looks_mask(const uint8_t *open, uint8_t *base)
    void looks_cells(const uint8_t *base, uint8_t *cells)
    void looks_move_energy(const uint8_t *now, const uint8_t *before, int32_t *energy)
    void looks_place(const int32_t *energy, int side, int *top, int *left)

cdef extern from "shake.h" nogil:
    enum:
        SHAKE_PARTS

cdef extern from "light.h" nogil:
    enum:
        LIGHT_ONE

cdef extern from "steady.h" nogil:
    ctypedef struct steady_state:
        int started
        int right, down, gain
    void steady_start(steady_state *state, int undoes_shake, int undoes_light)
    void steady_take(uint8_t *base, const uint8_t *before, const uint8_t *open, steady_state *state)
