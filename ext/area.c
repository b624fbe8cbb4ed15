#include "area.h"

#include "columns.h"
#include "finish.h"
#include "rows.h"

#include <stdlib.h>

struct area_plan {
    area_geometry geometry;
    int wide;               /* the sums need the wide types, or a plane is narrower than a strip */
    int paired;             /* see sum_pixels */
    axis rows, columns;     /* of pixels */
    axis chroma_rows, chroma_columns;
    double share, chroma_share; /* levels per unit of a sum */
    lanes lanes;            /* of sums and levels */
    int values;             /* in a row of them */
    void *memory;           /* the scratch below, all of it for one output row */
    void *row;              /* vertical sums: uint16_t, or int32_t when wide */
    uint16_t *chroma;       /* those of chroma in AREA_YUYV, which come with those of luma */
    int32_t *sums;          /* under each output pixel, when not wide */
    double *wide_sums;      /* the same when wide: doubles hold these integers exactly */
    int32_t *levels;        /* of each output pixel */
};

static int has_chroma(const area_geometry *g)
{
    return g->layout == AREA_I420 || g->layout == AREA_NV12 || g->layout == AREA_YUYV;
}

/* Sums are made, and may be stored, in whole groups. */
static int padded_width(const area_geometry *g)
{
    return (g->width + AXIS_GROUP - 1) / AXIS_GROUP * AXIS_GROUP;
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

/* Cells under an output pixel, at most. */
static int most_cells(const axis *axis)
{
    int most = 0;

    for (int i = 0; i < axis->targets; i++)
        if (axis->spans[i].count > most)
            most = axis->spans[i].count;
    return most;
}

static void choose_types(area_plan *plan)
{
    const area_geometry *g = &plan->geometry;
    const uint32_t longest = plan->chroma_rows.length > plan->rows.length ? plan->chroma_rows.length : plan->rows.length;
    const size_t first = row_bytes(g, 0), second = row_bytes(g, 1), narrowest = first < second ? first : second;

    plan->wide = 255 * longest > UINT16_MAX || narrowest < STRIP;
    plan->paired = 255 * plan->rows.length * ((uint32_t)most_cells(&plan->columns) / 2) <= UINT16_MAX;
    plan->share = 1.0 / ((double)plan->rows.length * plan->columns.length);
    if (has_chroma(g))
        plan->chroma_share = 1.0 / ((double)plan->chroma_rows.length * plan->chroma_columns.length);
}

/* Where all weighted sums of a pixel fit 16 bits, columns are summed with weights written out; pixels of three or four
 * bytes only where they are few, since without weights two such pixels are added in one operation. */
static int write_weights(area_plan *plan)
{
    const area_layout layout = plan->geometry.layout;
    const int channels = layout == AREA_THREE ? 3 : layout == AREA_FOUR ? 4 : 1;

    if (plan->wide || (channels > 1 && most_cells(&plan->columns) > 6))
        return 0;
    if (255 * plan->rows.length * plan->columns.length <= UINT16_MAX && axis_write_weights(&plan->columns, channels) < 0)
        return -1;
    if (has_chroma(&plan->geometry) && 255 * plan->chroma_rows.length * plan->chroma_columns.length <= UINT16_MAX)
        return axis_write_weights(&plan->chroma_columns, layout == AREA_I420 ? 1 : 2);
    return 0;
}

static lanes lanes_of(const area_geometry *g)
{
    const int pitch = padded_width(g);

    if (g->layout == AREA_GREY)
        return (lanes){{0, 0, 0}, 1};
    if (has_chroma(g))
        return (lanes){{0, pitch, 2 * pitch}, 1};
    return (lanes){{0, 1, 2}, 4};
}

static int take_memory(area_plan *plan)
{
    const size_t entries = row_bytes(&plan->geometry, 0) + 2 * ROW_MARGIN;
    const size_t values = 4 * (size_t)padded_width(&plan->geometry);
    char *at = calloc(1, values * (sizeof(double) + 2 * sizeof(int32_t))
                             + entries * (sizeof(int32_t) + sizeof(uint16_t)));

    plan->memory = at;
    if (at == NULL)
        return -1;
    plan->wide_sums = (double *)at;
    plan->sums = (int32_t *)(plan->wide_sums + values);
    plan->levels = plan->sums + values;
    at = (char *)(plan->levels + values);
    plan->row = at + ROW_MARGIN * (plan->wide ? sizeof(int32_t) : sizeof(uint16_t));
    plan->chroma = (uint16_t *)(at + entries * sizeof(int32_t)) + ROW_MARGIN;
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
        plan->lanes = lanes_of(geometry);
        plan->values = padded_width(geometry) * (geometry->layout == AREA_GREY ? 1 : has_chroma(geometry) ? 3 : 4);
        if (take_memory(plan) == 0 && write_weights(plan) == 0)
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

/* The sums of a plane's rows under output row y, where pixel x begins at byte x * step. */
INLINED row_sums rows_of(const area_plan *plan, const area_image *image, int number, const axis *rows,
                         const axis *columns, int step, int y)
{
    const plane from = plane_of(plan, image, number);
    const span *s = columns->spans;
    uint16_t *odds = plan->geometry.layout == AREA_YUYV ? plan->chroma : NULL;

    return begin_sums(&from, rows, y, (size_t)(s->begin - (s->head != 0)) * (size_t)step,
                      bytes_under(columns, columns->targets - 1, step), plan->row, odds);
}

INLINED void sum_chroma(const area_plan *plan, const area_image *image, row_sums *of_luma, int y)
{
    const axis *rows = &plan->chroma_rows, *columns = &plan->chroma_columns;
    int32_t *u = plan->sums + plan->lanes.channel[1], *v = plan->sums + plan->lanes.channel[2];

    if (plan->geometry.layout == AREA_I420) {
        row_sums u_rows = rows_of(plan, image, 1, rows, columns, 1, y);
        sum_single(&u_rows, columns, 1, u);
        row_sums v_rows = rows_of(plan, image, 2, rows, columns, 1, y);
        sum_single(&v_rows, columns, 1, v);
    } else if (plan->geometry.layout == AREA_NV12) {
        row_sums pairs = rows_of(plan, image, 1, rows, columns, 2, y);

        sum_pair(&pairs, plan->row, columns, u, v);
    } else { /* AREA_YUYV: luma and chroma come from the same rows */
        sum_pair(of_luma, plan->chroma, columns, u, v);
    }
}

/* The sums under the pixels of output row y, into plan->sums. */
CLONED static void sum_row(const area_plan *plan, const area_image *image, int y)
{
    const area_layout layout = plan->geometry.layout;
    const axis *columns = &plan->columns;
    const int step = layout == AREA_THREE ? 3 : layout == AREA_FOUR ? 4 : layout == AREA_YUYV ? 2 : 1;
    row_sums sums = rows_of(plan, image, 0, &plan->rows, columns, step, y);

    if (layout == AREA_THREE)
        sum_packed(&sums, columns, 3, plan->paired, plan->sums);
    else if (layout == AREA_FOUR)
        sum_packed(&sums, columns, 4, plan->paired, plan->sums);
    else
        sum_single(&sums, columns, step, plan->sums);
    if (has_chroma(&plan->geometry))
        sum_chroma(plan, image, &sums, y);
}

/* One channel of a plane, every `step`th byte from `offset` on, into one lane. */
static void sum_channel_wide(const area_plan *plan, const area_image *image, int number, const axis *rows,
                             const axis *columns, int step, int offset, int lane, int y)
{
    const plane from = plane_of(plan, image, number);

    sum_rows_wide(&from, rows, y, plan->row);
    sum_wide((const int32_t *)plan->row + offset, columns, step, plan->wide_sums + plan->lanes.channel[lane], plan->lanes.step);
}

/* The same of any size, into plan->wide_sums. */
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

/* Where R, G and B are. */
static lanes rgb_lanes(const area_plan *plan, int reversed)
{
    lanes rgb = plan->lanes;

    if (reversed && !has_chroma(&plan->geometry)) {
        rgb.channel[0] = plan->lanes.channel[2];
        rgb.channel[2] = plan->lanes.channel[0];
    }
    return rgb;
}

/* Levels of R, G and B of output row y, into plan->levels. */
static void make_levels(const area_plan *plan, const area_image *image, const fixed_yuv *yuv, int y)
{
    const int is_yuv = has_chroma(&plan->geometry), width = padded_width(&plan->geometry);

    if (plan->wide) {
        sum_row_wide(plan, image, y);
        if (is_yuv)
            wide_levels_of_yuv(plan->wide_sums, width, plan->share, plan->chroma_share, yuv, plan->levels);
        else
            wide_levels_of_rgb(plan->wide_sums, plan->values, plan->share, plan->levels);
    } else {
        sum_row(plan, image, y);
        if (is_yuv)
            narrow_levels_of_yuv(plan->sums, width, plan->share, plan->chroma_share, yuv, plan->levels);
        else
            narrow_levels_of_rgb(plan->sums, plan->values, plan->share, plan->levels);
    }
}

void area_shrink_bytes(area_plan *plan, const area_image *image, const area_output *output, const uint8_t map[256],
                       uint8_t *out)
{
    const lanes rgb = rgb_lanes(plan, output->reversed);
    const level_map stored = make_level_map(map);
    const fixed_yuv yuv = has_chroma(&plan->geometry) ? fixed_of(&output->yuv) : (fixed_yuv){0};

    for (int y = 0; y < plan->geometry.height; y++, out += output->row_stride) {
        make_levels(plan, image, &yuv, y);
        map_levels(plan->levels, plan->geometry.width, &rgb, &stored, out);
    }
}

void area_shrink_greys(area_plan *plan, const area_image *image, const area_output *output, uint8_t *out)
{
    const lanes rgb = rgb_lanes(plan, output->reversed);
    const fixed_yuv yuv = has_chroma(&plan->geometry) ? fixed_of(&output->yuv) : (fixed_yuv){0};

    for (int y = 0; y < plan->geometry.height; y++, out += output->row_stride) {
        make_levels(plan, image, &yuv, y);
        greys_of_levels(plan->levels, plan->geometry.width, &rgb, out);
    }
}

/* Sums under the pixels of output row y, into plan->wide_sums, whether wide or not. */
static void make_wide_sums(const area_plan *plan, const area_image *image, int y)
{
    if (plan->wide) {
        sum_row_wide(plan, image, y);
        return;
    }
    sum_row(plan, image, y);
    for (int i = 0; i < plan->values; i++)
        plan->wide_sums[i] = plan->sums[i];
}

void area_shrink_floats(area_plan *plan, const area_image *image, const area_output *output, const double gain[3],
                        const double bias[3], float *out)
{
    const int width = plan->geometry.width;
    const lanes rgb = rgb_lanes(plan, output->reversed);

    for (int y = 0; y < plan->geometry.height; y++, out += output->row_stride) {
        make_wide_sums(plan, image, y);
        if (has_chroma(&plan->geometry))
            floats_of_yuv(plan->wide_sums, width, &rgb, plan->share, plan->chroma_share, &output->yuv, gain, bias, out);
        else
            floats_of_rgb(plan->wide_sums, width, &rgb, plan->share, gain, bias, out);
    }
}
