#include "axis.h"

#include <stdlib.h>

static uint32_t greatest_common_divisor(uint32_t a, uint32_t b)
{
    while (b != 0) {
        const uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static size_t padded(int targets)
{
    return ((size_t)targets + AXIS_GROUP - 1) / AXIS_GROUP * AXIS_GROUP;
}

/* The source cells of every output cell, if all are whole and there are equally many; else 0. */
static int even_cells(const axis *axis)
{
    const span *s = axis->spans;

    for (int i = 0; i < axis->targets; i++)
        if (s[i].head != 0 || s[i].tail != 0 || s[i].count != s->count || s[i].begin != s->begin + i * s->count)
            return 0;
    return axis->cell == 1 ? s->count : 0;
}

int axis_init(axis *axis, int start, int extent, int pitch, int targets)
{
    /* In units of 1/targets of a pixel, everything is whole; then in the largest unit that keeps it so. */
    const uint32_t begin = (uint32_t)start * (uint32_t)targets, cell = (uint32_t)pitch * (uint32_t)targets;
    const uint32_t unit = greatest_common_divisor(greatest_common_divisor(cell, (uint32_t)extent), begin);

    axis->length = (uint32_t)extent / unit;
    axis->cell = cell / unit;
    axis->targets = targets;
    axis->spans = malloc(padded(targets) * sizeof *axis->spans);
    if (axis->spans == NULL)
        return -1;
    for (int i = 0; i < targets; i++) {
        const uint32_t from = begin / unit + (uint32_t)i * axis->length, to = from + axis->length;
        const uint32_t first = (from + axis->cell - 1) / axis->cell, end = to / axis->cell;
        span *s = &axis->spans[i];

        s->begin = (int32_t)first;
        if (end < first) { /* the output cell lies inside one source cell */
            s->count = 0;
            s->head = axis->length;
            s->tail = 0;
        } else {
            s->count = (int32_t)(end - first);
            s->head = first * axis->cell - from;
            s->tail = to - end * axis->cell;
        }
    }
    for (size_t i = (size_t)targets; i < padded(targets); i++)
        axis->spans[i] = axis->spans[targets - 1];
    axis->even = even_cells(axis);
    return 0;
}

int axis_write_weights(axis *axis, int channels)
{
    const int cells = 8 / channels;
    int most = 0;

    for (int i = 0; i < axis->targets; i++)
        if (axis->spans[i].count > most)
            most = axis->spans[i].count;
    axis->chunks = (most + 2 + cells - 1) / cells;
    axis->weights = calloc(padded(axis->targets) * (size_t)axis->chunks, 8 * sizeof *axis->weights);
    if (axis->weights == NULL)
        return -1;
    for (int i = 0; i < axis->targets; i++) {
        const span *s = &axis->spans[i];
        uint16_t *chunk = axis->weights + (size_t)i * (size_t)axis->chunks * 8;

        for (int k = 0; k < s->count + 2; k++) {
            const uint32_t weight = k == 0 ? s->head : k <= s->count ? axis->cell : s->tail;

            for (int c = 0; c < channels; c++)
                chunk[k / cells * 8 + k % cells * channels + c] = (uint16_t)weight;
        }
    }
    return 0;
}

void axis_free(axis *axis)
{
    free(axis->spans);
    free(axis->weights);
    axis->spans = NULL;
    axis->weights = NULL;
}
