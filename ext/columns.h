/* Horizontal sums: the vertical sums under each output pixel. */
#ifndef EDGEHAR_COLUMNS_H
#define EDGEHAR_COLUMNS_H

#include "rows.h"

#include <stddef.h>

/* Entries before and after a row of vertical sums that may be read, times a weight of 0 or into an unused lane. */
enum { ROW_MARGIN = 16 };

/* The first four of eight, widened. */
INLINED ints4 low_half(words8 v)
{
    return (ints4)SHUFFLED8(v, (words8){0}, 0, 8, 1, 9, 2, 10, 3, 11);
}

INLINED ints4 load_widened(const uint16_t *from)
{
    return low_half(load_words8(from));
}

/* The second of two pixels of `step` entries, in the place of the first. */
INLINED words8 second_pixel(words8 two, ptrdiff_t step)
{
    return step == 3 ? SHUFFLED8(two, two, 3, 4, 5, 6, 7, 7, 7, 7) : SHUFFLED8(two, two, 4, 5, 6, 7, 7, 7, 7, 7);
}

/* Sums over `count` pixels of `step` entries, 3 or 4; lane 3 is unused with 3 entries. With `paired`, sums over
 * every other pixel fit 16 bits. */
INLINED ints4 sum_pixels(const uint16_t *p, ptrdiff_t count, ptrdiff_t step, int paired)
{
    ints4 sum = {0};

    if (paired) {
        words8 a = {0}, b = {0}; /* two pixels each */

        for (; count >= 4; count -= 4, p += 4 * step) {
            a += load_words8(p);
            b += load_words8(p + 2 * step);
        }
        if (count >= 2) {
            b += load_words8(p);
            p += 2 * step;
        }
        a += b;
        sum = low_half(a) + low_half(second_pixel(a, step));
    } else {
        ints4 other = {0};

        for (; count >= 2; count -= 2, p += 2 * step) {
            sum += load_widened(p);
            other += load_widened(p + step);
        }
        sum += other;
    }
    return count & 1 ? sum + load_widened(p) : sum;
}

/* The bytes of a row, `step` of them a pixel, that output pixel x needs. */
INLINED size_t bytes_under(const axis *axis, ptrdiff_t x, ptrdiff_t step)
{
    const span *s = &axis->spans[x];

    return (size_t)((s->begin + s->count + 1) * step);
}

/* Eight partial sums of the weighted entries of one output pixel from `p` on; a chunk of weights is for `entries`. */
INLINED words8 sum_weighted(const uint16_t *p, const uint16_t *weights, ptrdiff_t chunks, ptrdiff_t entries)
{
    words8 sum = load_words8(p) * load_words8(weights);

    for (ptrdiff_t k = 1; k < chunks; k++)
        sum += load_words8(p + k * entries) * load_words8(weights + 8 * k);
    return sum;
}

INLINED void sum_packed_weighted(row_sums *rows, const axis *axis, ptrdiff_t step, int32_t *sums)
{
    const span *s = axis->spans, *const end = s + axis->targets;
    const uint16_t *const before = rows->row - step, *weights = axis->weights;
    const ptrdiff_t chunks = axis->chunks;

    for (; s < end; s++, sums += 4, weights += 8 * chunks) {
        sum_until(rows, (size_t)((s->begin + s->count + 1) * step));
        const words8 two = sum_weighted(before + s->begin * step, weights, chunks, 2 * step);
        store_ints4(sums, low_half(two + second_pixel(two, step)));
    }
}

/* Of pixels of `step` entries, 3 or 4, into four lanes a pixel. */
INLINED void sum_packed(row_sums *rows, const axis *axis, ptrdiff_t step, int paired, int32_t *sums)
{
    if (axis->weights != NULL) {
        sum_packed_weighted(rows, axis, step, sums);
        return;
    }
    const span *s = axis->spans, *const end = s + axis->targets;
    const uint16_t *const row = rows->row;
    const int32_t cell = (int32_t)axis->cell;

    for (; s < end; s++, sums += 4) {
        const uint16_t *p = row + s->begin * step;

        sum_until(rows, (size_t)((s->begin + s->count + 1) * step));
        const ints4 sum = sum_pixels(p, s->count, step, paired);
        store_ints4(sums, sum * cell + load_widened(p - step) * (int32_t)s->head
                              + load_widened(p + s->count * step) * (int32_t)s->tail);
    }
}

/* Weighted sums that fit 16 bits, of AXIS_GROUP output pixels whose pixels have 1 or 2 entries: two numbers each, side
 * by side, which are two partial sums of the one entry, or the sums of the two. */
INLINED ints4 sum_group(const uint16_t *row, const axis *axis, ptrdiff_t x, ptrdiff_t entries)
{
    const ptrdiff_t chunks = axis->chunks;
    const uint16_t *weights = axis->weights + x * chunks * 8, *before = row - entries;
    const span *s = &axis->spans[x];
    const words8 a = sum_weighted(before + s[0].begin * entries, weights, chunks, 8);
    const words8 b = sum_weighted(before + s[1].begin * entries, weights + 8 * chunks, chunks, 8);
    const words8 c = sum_weighted(before + s[2].begin * entries, weights + 16 * chunks, chunks, 8);
    const words8 d = sum_weighted(before + s[3].begin * entries, weights + 24 * chunks, chunks, 8);
    /* Each step leaves half as many numbers of each pixel. */
    const words8 ab = SHUFFLED8(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLED8(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    const words8 cd = SHUFFLED8(c, d, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLED8(c, d, 4, 5, 6, 7, 12, 13, 14, 15);

    return (ints4)(SHUFFLED8(ab, cd, 0, 1, 4, 5, 8, 9, 12, 13) + SHUFFLED8(ab, cd, 2, 3, 6, 7, 10, 11, 14, 15));
}

INLINED ints4 low_words(ints4 v)
{
    return v & 0xffff;
}

INLINED ints4 high_words(ints4 v)
{
    return (ints4)((uints4)v >> 16);
}

/* Sums over every fourth of `count` entries. */
INLINED ints4 sum_entries(const uint16_t *p, ptrdiff_t count)
{
    static const int32_t masks[4][4] = {{0, 0, 0, 0}, {-1, 0, 0, 0}, {-1, -1, 0, 0}, {-1, -1, -1, 0}};
    ints4 sum = {0};

    for (; count >= 4; count -= 4, p += 4)
        sum += load_widened(p);
    return sum + (load_widened(p) & load_ints4(masks[count]));
}

enum { MOST_EVEN = 6 };

/* Of `even` entries each, which is a constant where this is called. */
INLINED void sum_evenly(const uint16_t *restrict p, ptrdiff_t targets, ptrdiff_t even, int32_t *restrict sums)
{
    for (ptrdiff_t x = 0; x < targets; x++) {
        int32_t sum = p[even * x];

        for (ptrdiff_t k = 1; k < even; k++)
            sum += p[even * x + k];
        sums[x] = sum;
    }
}

/* Of pixels of one entry, `step` bytes of the source. */
INLINED void sum_single(row_sums *rows, const axis *axis, ptrdiff_t step, int32_t *sums)
{
    if (axis->even != 0 && axis->even <= MOST_EVEN) {
        const uint16_t *p = rows->row + axis->spans->begin;

        sum_until(rows, bytes_under(axis, axis->targets - 1, step));
        switch (axis->even) {
        case 1: sum_evenly(p, axis->targets, 1, sums); break;
        case 2: sum_evenly(p, axis->targets, 2, sums); break;
        case 3: sum_evenly(p, axis->targets, 3, sums); break;
        case 4: sum_evenly(p, axis->targets, 4, sums); break;
        default: sum_evenly(p, axis->targets, axis->even, sums);
        }
        return;
    }
    if (axis->weights != NULL) {
        for (int x = 0; x < axis->targets; x += AXIS_GROUP) {
            sum_until(rows, bytes_under(axis, x + AXIS_GROUP - 1, step));
            const ints4 halves = sum_group(rows->row, axis, x, 1);
            store_ints4(sums + x, low_words(halves) + high_words(halves));
        }
        return;
    }
    for (int x = 0; x < axis->targets; x++) {
        const span *s = &axis->spans[x];
        const uint16_t *p = rows->row + s->begin;

        sum_until(rows, bytes_under(axis, x, step));
        ints4 lanes = sum_entries(p, s->count);
        lanes += SHUFFLED4(lanes, lanes, 2, 3, 0, 1);
        lanes += SHUFFLED4(lanes, lanes, 1, 0, 3, 2);
        sums[x] = lanes[0] * (int32_t)axis->cell + p[-1] * (int32_t)s->head + p[s->count] * (int32_t)s->tail;
    }
}

INLINED void sum_pairs_evenly(const uint16_t *restrict p, ptrdiff_t targets, ptrdiff_t even, int32_t *restrict first,
                              int32_t *restrict second)
{
    for (ptrdiff_t x = 0; x < targets; x++) {
        int32_t one = p[2 * even * x], other = p[2 * even * x + 1];

        for (ptrdiff_t k = 1; k < even; k++) {
            one += p[2 * (even * x + k)];
            other += p[2 * (even * x + k) + 1];
        }
        first[x] = one;
        second[x] = other;
    }
}

/* Of pixels of two entries in `row`, which `rows` makes. */
INLINED void sum_pair(row_sums *rows, const uint16_t *row, const axis *axis, int32_t *first, int32_t *second)
{
    if (axis->even == 1 || axis->even == 2) {
        const uint16_t *p = row + 2 * axis->spans->begin;

        sum_until(rows, bytes_under(axis, axis->targets - 1, 2));
        if (axis->even == 1)
            sum_pairs_evenly(p, axis->targets, 1, first, second);
        else
            sum_pairs_evenly(p, axis->targets, 2, first, second);
        return;
    }
    if (axis->weights != NULL) {
        for (int x = 0; x < axis->targets; x += AXIS_GROUP) {
            sum_until(rows, bytes_under(axis, x + AXIS_GROUP - 1, 2));
            const ints4 pairs = sum_group(row, axis, x, 2);
            store_ints4(first + x, low_words(pairs));
            store_ints4(second + x, high_words(pairs));
        }
        return;
    }
    for (int x = 0; x < axis->targets; x++) {
        const span *s = &axis->spans[x];
        const uint16_t *p = row + 2 * s->begin;

        sum_until(rows, bytes_under(axis, x, 2));
        ints4 lanes = sum_entries(p, 2 * s->count);
        lanes += SHUFFLED4(lanes, lanes, 2, 3, 0, 1);
        lanes = lanes * (int32_t)axis->cell + load_widened(p - 2) * (int32_t)s->head
                + load_widened(p + 2 * s->count) * (int32_t)s->tail;
        first[x] = lanes[0];
        second[x] = lanes[1];
    }
}

/* Of every `step`th entry, of any size; doubles hold these integers exactly. */
INLINED void sum_wide(const int32_t *row, const axis *axis, ptrdiff_t step, double *sums, ptrdiff_t sums_step)
{
    for (int x = 0; x < axis->targets; x++, sums += sums_step) {
        const span s = axis->spans[x];
        const int32_t *p = row + s.begin * step;
        double sum = 0;

        for (int i = 0; i < s.count; i++)
            sum += p[i * step];
        *sums = sum * axis->cell + (double)p[-step] * s.head + (double)p[s.count * step] * s.tail;
    }
}

#endif
