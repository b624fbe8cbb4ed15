/* Vertical sums: the source rows under one output row, added byte by byte, so that channels do not matter. */
#ifndef EDGEHAR_ROWS_H
#define EDGEHAR_ROWS_H

#include "axis.h"
#include "vectors.h"

#include <stddef.h>

enum { STRIP = 64 }; /* bytes summed at a time, in registers: a cache line, four words16 */

/* One plane of a source image: rows of `bytes` bytes, `stride` bytes apart. */
typedef struct {
    const uint8_t *pixels;
    ptrdiff_t stride;
    size_t bytes;
} plane;

INLINED words16 widened(const uint8_t *from)
{
    return __builtin_convertvector(load_bytes16(from), words16);
}

INLINED words16 weighted(words16 sum, const axis *axis, const span *s, const uint8_t *above, const uint8_t *below)
{
    return sum * (uint16_t)axis->cell + widened(above) * (uint16_t)s->head + widened(below) * (uint16_t)s->tail;
}

/* The sums of STRIP columns from `from` on, in the first whole row. The cache is told to fetch what lies `ahead` bytes
 * further on: the same strip of the next output row. */
INLINED void sum_strip(const uint8_t *from, ptrdiff_t stride, const axis *axis, const span *s, ptrdiff_t ahead,
                       uint16_t *row)
{
    const uint8_t *p = from;
    words16 a = {0}, b = {0}, c = {0}, d = {0};

    for (int k = 0; k < s->count; k++, p += stride) {
        __builtin_prefetch(p + ahead);
        a += widened(p);
        b += widened(p + 16);
        c += widened(p + 32);
        d += widened(p + 48);
    }
    if (axis->cell != 1) {
        const uint8_t *above = s->head ? from - stride : from, *below = s->tail ? p : from;

        a = weighted(a, axis, s, above, below);
        b = weighted(b, axis, s, above + 16, below + 16);
        c = weighted(c, axis, s, above + 32, below + 32);
        d = weighted(d, axis, s, above + 48, below + 48);
    }
    store_words16(row, a);
    store_words16(row + 16, b);
    store_words16(row + 32, c);
    store_words16(row + 48, d);
}

/* Sums that fit 16 bits, of planes at least STRIP bytes wide. */
INLINED void sum_rows(const plane *plane, const axis *axis, int y, uint16_t *row)
{
    const span *s = &axis->spans[y];
    const uint8_t *from = plane->pixels + s->begin * plane->stride;
    const ptrdiff_t ahead = y + 1 < axis->targets ? (axis->spans[y + 1].begin - s->begin) * plane->stride : 0;
    size_t i = 0;

    for (; i + STRIP <= plane->bytes; i += STRIP)
        sum_strip(from + i, plane->stride, axis, s, ahead, row + i);
    if (i < plane->bytes) /* once more, over what is left and some that is done */
        sum_strip(from + plane->bytes - STRIP, plane->stride, axis, s, ahead, row + plane->bytes - STRIP);
}

/* Sums of any size and planes of any width. */
INLINED void sum_rows_wide(const plane *plane, const axis *axis, int y, int32_t *row)
{
    const span *s = &axis->spans[y];
    const uint8_t *p = plane->pixels + s->begin * plane->stride;
    const int32_t cell = (int32_t)axis->cell, head = (int32_t)s->head, tail = (int32_t)s->tail;
    const uint8_t *above = p - plane->stride;

    memset(row, 0, plane->bytes * sizeof *row);
    for (int k = 0; k < s->count; k++, p += plane->stride)
        for (size_t i = 0; i < plane->bytes; i++)
            row[i] += p[i] * cell;
    if (head)
        for (size_t i = 0; i < plane->bytes; i++)
            row[i] += above[i] * head;
    if (tail)
        for (size_t i = 0; i < plane->bytes; i++)
            row[i] += p[i] * tail;
}

#endif
