#include "area.h"

#include "columns.h"
#include "finish.h"
#include "rows.h"

#include <stdlib.h>

struct area_plan {
    area_geometry geometry;
    int wide;               /* the sums need the wide types, or the planes are narrow */
    int paired;             /* see sum_pixels */
    axis rows, columns;     /* of pixels */
    axis chroma_rows, chroma_columns;
    double share[4];        /* what one unit of a sum counts in levels, by lane */
    void *memory;           /* the scratch below */
    void *row;              /* vertical sums under one output row, uint16_t or (wide) int32_t */
    uint16_t *luma, *chroma; /* those of AREA_YUYV, apart */
    double *boxes;          /* sums under each output pixel of a row, four lanes */
    int32_t *levels;        /* of each output pixel of a row, four lanes */
};

static int has_chroma(const area_geometry *g)
{
    return g->layout == AREA_I420 || g->layout == AREA_NV12 || g->layout == AREA_YUYV;
}

static int chroma_row_pitch(const area_geometry *g)
{
    return g->layout == AREA_YUYV ? 1 : 2;
}

/* Bytes in a row of a plane. */
static size_t row_bytes(const area_geometry *g, int plane)
{
    const size_t width = (size_t)g->source_width, half = (width + 1) / 2;

    switch (g->layout) {
    case AREA_THREE:
        return 3 * width;
    case AREA_FOUR:
        return 4 * width;
    case AREA_YUYV:
        return 2 * width;
    case AREA_I420:
        return plane == 0 ? width : half;
    case AREA_NV12:
        return plane == 0 ? width : 2 * half;
    default:
        return width;
    }
}

static int init_axes(area_plan *plan)
{
    const area_geometry *g = &plan->geometry;

    if (axis_init(&plan->rows, g->top, g->region_height, 1, g->height) < 0
        || axis_init(&plan->columns, g->left, g->region_width, 1, g->width) < 0)
        return -1;
    if (has_chroma(g)
        && (axis_init(&plan->chroma_rows, g->top, g->region_height, chroma_row_pitch(g), g->height) < 0
            || axis_init(&plan->chroma_columns, g->left, g->region_width, 2, g->width) < 0))
        return -1;
    return 0;
}

static void choose_types(area_plan *plan)
{
    const area_geometry *g = &plan->geometry;
    const uint32_t longest = plan->chroma_rows.length > plan->rows.length ? plan->chroma_rows.length : plan->rows.length;
    const size_t narrowest = row_bytes(g, g->layout == AREA_I420 || g->layout == AREA_NV12 ? 1 : 0);
    uint32_t most = 0; /* pixels under an output pixel */

    for (int x = 0; x < g->width; x++)
        if ((uint32_t)plan->columns.spans[x].count > most)
            most = (uint32_t)plan->columns.spans[x].count;
    plan->wide = 255 * longest > UINT16_MAX || narrowest < STRIP;
    plan->paired = 255 * plan->rows.length * (most / 2) <= UINT16_MAX;
    plan->share[0] = plan->share[1] = plan->share[2] = 1.0 / ((double)plan->rows.length * plan->columns.length);
    if (has_chroma(g))
        plan->share[1] = plan->share[2] = 1.0 / ((double)plan->chroma_rows.length * plan->chroma_columns.length);
}

static int take_memory(area_plan *plan)
{
    const size_t entries = row_bytes(&plan->geometry, 0) + 2 * ROW_MARGIN, width = (size_t)plan->geometry.width;
    const size_t boxes = 4 * width * sizeof(double), levels = 4 * width * sizeof(int32_t);
    char *at = calloc(1, boxes + levels + entries * sizeof(int32_t) + 2 * entries * sizeof(uint16_t));

    plan->memory = at;
    if (at == NULL)
        return -1;
    plan->boxes = (double *)at;
    at += boxes;
    plan->levels = (int32_t *)at;
    at += levels;
    plan->row = at + ROW_MARGIN * (plan->wide ? sizeof(int32_t) : sizeof(uint16_t));
    at += entries * sizeof(int32_t);
    plan->luma = (uint16_t *)at + ROW_MARGIN;
    plan->chroma = plan->luma + entries;
    return 0;
}

area_plan *area_plan_create(const area_geometry *geometry)
{
    area_plan *plan = calloc(1, sizeof *plan);

    if (plan == NULL)
        return NULL;
    plan->geometry = *geometry;
    if (init_axes(plan) == 0) {
        choose_types(plan);
        if (take_memory(plan) == 0)
            return plan;
    }
    area_plan_destroy(plan);
    return NULL;
}

void area_plan_destroy(area_plan *plan)
{
    if (plan == NULL)
        return;
    axis_free(&plan->rows);
    axis_free(&plan->columns);
    axis_free(&plan->chroma_rows);
    axis_free(&plan->chroma_columns);
    free(plan->memory);
    free(plan);
}

INLINED plane plane_of(const area_plan *plan, const area_image *image, int number)
{
    return (plane){image->planes[number], image->strides[number], row_bytes(&plan->geometry, number)};
}

INLINED const uint16_t *rows_of(const area_plan *plan, const area_image *image, int number, const axis *rows, int y)
{
    const plane from = plane_of(plan, image, number);

    sum_rows(&from, rows, y, plan->row);
    return plan->row;
}

INLINED void split_pairs(const uint16_t *pairs, size_t count, uint16_t *restrict even, uint16_t *restrict odd)
{
    for (size_t i = 0; i < count; i++) {
        even[i] = pairs[2 * i];
        odd[i] = pairs[2 * i + 1];
    }
}

/* The sums under the pixels of output row y into plan->boxes. */
CLONED static void sum_row(const area_plan *plan, const area_image *image, int y)
{
    const uint16_t *row = rows_of(plan, image, 0, &plan->rows, y);
    const axis *chroma_rows = &plan->chroma_rows, *chroma_columns = &plan->chroma_columns;
    double *boxes = plan->boxes;

    switch (plan->geometry.layout) {
    case AREA_GREY:
        sum_single(row, &plan->columns, boxes);
        break;
    case AREA_THREE:
        sum_packed(row, &plan->columns, 3, plan->paired, boxes);
        break;
    case AREA_FOUR:
        sum_packed(row, &plan->columns, 4, plan->paired, boxes);
        break;
    case AREA_I420:
        sum_single(row, &plan->columns, boxes);
        sum_single(rows_of(plan, image, 1, chroma_rows, y), chroma_columns, boxes + 1);
        sum_single(rows_of(plan, image, 2, chroma_rows, y), chroma_columns, boxes + 2);
        break;
    case AREA_NV12:
        sum_single(row, &plan->columns, boxes);
        sum_double(rows_of(plan, image, 1, chroma_rows, y), chroma_columns, boxes + 1);
        break;
    case AREA_YUYV:
        split_pairs(row, (size_t)plan->geometry.source_width, plan->luma, plan->chroma);
        sum_single(plan->luma, &plan->columns, boxes);
        sum_double(plan->chroma, chroma_columns, boxes + 1);
    }
}

/* One channel of a plane, every `step`th byte from `offset` on, into one lane. */
static void sum_channel_wide(const area_plan *plan, const area_image *image, int number, const axis *rows,
                             const axis *columns, int step, int offset, int lane, int y)
{
    const plane from = plane_of(plan, image, number);

    sum_rows_wide(&from, rows, y, plan->row);
    sum_wide((const int32_t *)plan->row + offset, columns, step, plan->boxes + lane);
}

static void sum_row_wide(const area_plan *plan, const area_image *image, int y)
{
    const area_layout layout = plan->geometry.layout;
    const int step = layout == AREA_THREE ? 3 : layout == AREA_FOUR ? 4 : layout == AREA_YUYV ? 2 : 1;

    for (int channel = 0; channel < 3; channel++) {
        if (channel == 0 || step >= 3) {
            sum_channel_wide(plan, image, 0, &plan->rows, &plan->columns, step, step >= 3 ? channel : 0, channel, y);
        } else if (layout != AREA_GREY) {
            const int of_plane = layout == AREA_I420 ? channel : layout == AREA_NV12 ? 1 : 0;
            const int chroma_step = layout == AREA_I420 ? 1 : layout == AREA_NV12 ? 2 : 4;
            const int offset = layout == AREA_I420 ? 0 : layout == AREA_NV12 ? channel - 1 : 2 * channel - 1;

            sum_channel_wide(plan, image, of_plane, &plan->chroma_rows, &plan->chroma_columns, chroma_step, offset,
                             channel, y);
        }
    }
}

static void sum_boxes(const area_plan *plan, const area_image *image, int y)
{
    if (plan->wide)
        sum_row_wide(plan, image, y);
    else
        sum_row(plan, image, y);
}

/* Which lane each of R, G and B is in. */
static channel_order order_of(const area_plan *plan, const area_output *output)
{
    if (plan->geometry.layout == AREA_GREY)
        return (channel_order){{0, 0, 0}};
    if (output->reversed && !has_chroma(&plan->geometry))
        return (channel_order){{2, 1, 0}};
    return (channel_order){{0, 1, 2}};
}

void area_shrink_bytes(area_plan *plan, const area_image *image, const area_output *output, const uint8_t map[256],
                       uint8_t *out)
{
    const channel_order order = order_of(plan, output);
    const fixed_yuv yuv = fixed_of(&output->yuv);

    for (int y = 0; y < plan->geometry.height; y++, out += output->row_stride) {
        sum_boxes(plan, image, y);
        if (has_chroma(&plan->geometry))
            levels_of_yuv(plan->boxes, plan->geometry.width, plan->share, &yuv, plan->levels);
        else
            levels_of_rgb(plan->boxes, plan->geometry.width, plan->share, plan->levels);
        map_levels(plan->levels, plan->geometry.width, order, map, out);
    }
}

void area_shrink_floats(area_plan *plan, const area_image *image, const area_output *output, const double gain[3],
                        const double bias[3], float *out)
{
    const channel_order order = order_of(plan, output);

    for (int y = 0; y < plan->geometry.height; y++, out += output->row_stride) {
        sum_boxes(plan, image, y);
        if (has_chroma(&plan->geometry))
            floats_of_yuv(plan->boxes, plan->geometry.width, plan->share, &output->yuv, gain, bias, out);
        else
            floats_of_rgb(plan->boxes, plan->geometry.width, plan->share, order, gain, bias, out);
    }
}
