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

int axis_init(axis *axis, int start, int extent, int pitch, int targets)
{
    /* In units of 1/targets of a pixel, everything is whole; then in the largest unit that keeps it so. */
    const uint32_t begin = (uint32_t)start * (uint32_t)targets, cell = (uint32_t)pitch * (uint32_t)targets;
    const uint32_t unit = greatest_common_divisor(greatest_common_divisor(cell, (uint32_t)extent), begin);

    axis->length = (uint32_t)extent / unit;
    axis->cell = cell / unit;
    axis->targets = targets;
    axis->spans = malloc((size_t)targets * sizeof *axis->spans);
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
    return 0;
}

void axis_free(axis *axis)
{
    free(axis->spans);
    axis->spans = NULL;
}
