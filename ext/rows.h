/* Vertical sums: the source rows under one output row, added byte by byte, independent of channels. */
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

/* Sums of 32 columns. `pairs` adds neighbors up as one 16-bit number, low byte first, and may wrap around; `odds` adds
 * the high bytes. Together they give the low bytes, with one operation per row less than separating bytes. */
typedef struct {
    words16 pairs, odds;
} column_sums;

INLINED void add_row(column_sums *sums, const uint8_t *from)
{
    const words16 v = load_words16(from);

    sums->pairs += v;
    sums->odds += v >> 8;
}

/* The sums of the rows under one output row, computed strip by strip on demand. While sums over columns are computed
 * in between, memory has time to deliver the strips of the next output row. */
typedef struct {
    const uint8_t *from; /* the first whole row */
    ptrdiff_t stride;
    const axis *axis;
    const span *span;
    ptrdiff_t ahead; /* bytes from here to the same place for the next output row */
    size_t bytes, first, middle, done;
    uint16_t *row;       /* sums of all bytes, or of the even ones, ... */
    uint16_t *odds;      /* ... when those of the odd ones go here */
} row_sums;

/* `first` and `end`: the range of bytes in a row that is used. */
INLINED row_sums begin_sums(const plane *plane, const axis *axis, int y, size_t first, size_t end, uint16_t *row,
                            uint16_t *odds)
{
    const span *s = &axis->spans[y];
    const int32_t rows_ahead = y + 1 < axis->targets ? s[1].begin - s->begin : 0;

    return (row_sums){
        .from = plane->pixels + s->begin * plane->stride,
        .stride = plane->stride,
        .axis = axis,
        .span = s,
        .ahead = rows_ahead * plane->stride,
        .bytes = plane->bytes,
        .first = first / STRIP * STRIP,
        .middle = (first + end) / 2 / STRIP * STRIP,
        .done = first / STRIP * STRIP,
        .row = row,
        .odds = odds,
    };
}

/* Prefetch the next output row while this one is computed: two cache lines at a time of every other row in the first
 * half of the strips, of the remaining rows in the second half. This is faster than one line of each row. */
INLINED void fetch_ahead(const row_sums *r, size_t at)
{
    const int odd = at >= r->middle;
    const ptrdiff_t half = (ptrdiff_t)(odd ? r->middle : r->first);
    const uint8_t *p = r->from + r->ahead + odd * r->stride + (ptrdiff_t)r->first + 2 * ((ptrdiff_t)at - half);

    for (int k = odd; k < r->span->count; k += 2, p += 2 * r->stride) {
        __builtin_prefetch(p);
        __builtin_prefetch(p + STRIP);
    }
}

INLINED void store_sums(const row_sums *r, const column_sums *sums, const uint8_t *above, const uint8_t *below,
                        size_t at)
{
    words16 odds = sums->odds, evens = sums->pairs - (odds << 8);

    if (r->axis->cell != 1) {
        const words16 over = load_words16(above), under = load_words16(below);
        const uint16_t cell = (uint16_t)r->axis->cell, head = (uint16_t)r->span->head, tail = (uint16_t)r->span->tail;

        evens = evens * cell + (over & 255) * head + (under & 255) * tail;
        odds = odds * cell + (over >> 8) * head + (under >> 8) * tail;
    }
    if (r->odds != NULL) {
        store_words16(r->row + at / 2, evens);
        store_words16(r->odds + at / 2, odds);
        return;
    }
    store_words16(r->row + at, SHUFFLED16(evens, odds, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    store_words16(r->row + at + 16,
                  SHUFFLED16(evens, odds, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
}

INLINED void sum_strip(const row_sums *r, size_t at)
{
    const uint8_t *const first = r->from + at, *p = first;
    column_sums a = {{0}, {0}}, b = a;

    fetch_ahead(r, at);
#pragma GCC unroll 4
    for (int k = 0; k < r->span->count; k++, p += r->stride) {
        add_row(&a, p);
        add_row(&b, p + 32);
    }
    /* A row of weight 0 is read too, so it must exist. */
    const uint8_t *above = r->span->head ? first - r->stride : first, *below = r->span->tail ? p : above;
    store_sums(r, &a, above, below, at);
    store_sums(r, &b, above + 32, below + 32, at + 32);
}

/* Compute the sums of all bytes before `end`, which may be past the last one. */
INLINED void sum_until(row_sums *r, size_t end)
{
    while (r->done < end && r->done < r->bytes) {
        /* The last strip overlaps bytes that are already done. */
        sum_strip(r, r->done + STRIP <= r->bytes ? r->done : r->bytes - STRIP);
        r->done += STRIP;
    }
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
