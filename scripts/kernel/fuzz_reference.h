/* What ext/area.h promises, pixel by pixel and without a thought for speed: what fuzz_kernel.c compares with. */
#ifndef EDGEHAR_FUZZ_REFERENCE_H
#define EDGEHAR_FUZZ_REFERENCE_H

#include "area.h"

#include <math.h>

static int is_yuv(area_layout layout)
{
    return layout == AREA_I420 || layout == AREA_NV12 || layout == AREA_YUYV;
}

static int64_t overlap(int64_t cell, int64_t cell_length, int64_t box, int64_t box_length)
{
    const int64_t from = cell * cell_length > box * box_length ? cell * cell_length : box * box_length;
    const int64_t cell_end = (cell + 1) * cell_length, box_end = (box + 1) * box_length;

    return (cell_end < box_end ? cell_end : box_end) - from;
}

/* Sums of the three samples under output pixel (y, x); the weights of each sum to the pixels of the region. */
static void box_sums(const area_geometry *g, const uint8_t *samples, int y, int x, int64_t sums[3])
{
    const int64_t h = g->region_height, w = g->region_width;

    sums[0] = sums[1] = sums[2] = 0;
    for (int64_t i = y * h / g->height; i * g->height < (y + 1) * h; i++)
        for (int64_t j = x * w / g->width; j * g->width < (x + 1) * w; j++) {
            const int64_t weight = overlap(i, g->height, y, h) * overlap(j, g->width, x, w);

            for (int c = 0; c < 3; c++)
                sums[c] += weight * samples[(i * w + j) * 3 + c];
        }
}

static int64_t clip(int64_t level)
{
    return level < 0 ? 0 : level > 255 ? 255 : level;
}

static int64_t fixed(double coefficient)
{
    return (int64_t)floor(coefficient * 8192 + 0.5);
}

/* Levels of red, green and blue, and in `exact` the averages without rounding. */
static void reference(const area_geometry *g, const uint8_t *samples, const area_output *output, int y, int x,
                      uint8_t levels[3], double exact[3])
{
    const int64_t area = (int64_t)g->region_height * g->region_width;
    const area_yuv *m = &output->yuv;
    int64_t sum[3];

    box_sums(g, samples, y, x, sum);
    if (is_yuv(g->layout)) {
        const double u = (double)sum[1] / (double)area - 128, v = (double)sum[2] / (double)area - 128;
        const double luma = m->luma * ((double)sum[0] / (double)area - m->black);
        int64_t level[3], grey, cu, cv;

        for (int c = 0; c < 3; c++)
            level[c] = (512 * sum[c] + area) / (2 * area);
        grey = fixed(m->luma) * (level[0] - 256 * (int64_t)m->black);
        cu = level[1] - 128 * 256;
        cv = level[2] - 128 * 256;
        levels[0] = (uint8_t)clip((grey + fixed(m->red_v) * cv + (1 << 20)) >> 21);
        levels[1] = (uint8_t)clip((grey + fixed(m->green_u) * cu + fixed(m->green_v) * cv + (1 << 20)) >> 21);
        levels[2] = (uint8_t)clip((grey + fixed(m->blue_u) * cu + (1 << 20)) >> 21);
        exact[0] = fmin(fmax(luma + m->red_v * v, 0), 255);
        exact[1] = fmin(fmax(luma + m->green_u * u + m->green_v * v, 0), 255);
        exact[2] = fmin(fmax(luma + m->blue_u * u, 0), 255);
        return;
    }
    for (int c = 0; c < 3; c++) {
        const int from = g->layout != AREA_GREY && output->reversed ? 2 - c : c;

        levels[c] = (uint8_t)((2 * sum[from] + area) / (2 * area));
        exact[c] = (double)sum[from] / (double)area;
    }
}

#endif
