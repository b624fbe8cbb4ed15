/* Horizontal sums: the vertical sums under each output pixel, as doubles, which hold these integers exactly (they stay
 * at or below 255 * 8192^2). `boxes` has four lanes an output pixel, of which the channels fill the first. */
#ifndef EDGEHAR_COLUMNS_H
#define EDGEHAR_COLUMNS_H

#include "axis.h"
#include "vectors.h"

#include <stddef.h>

/* Entries before and after a row of vertical sums that may be read, times a weight of 0 or into an unused lane. */
enum { ROW_MARGIN = 16 };

INLINED ints4 widened4(const uint16_t *from)
{
    return __builtin_convertvector(load_words4(from), ints4);
}

/* Sums over `count` pixels of 3 or 4 entries; lane 3 is of no use where there are 3. With `paired`, sums over half of
 * them fit 16 bits. */
INLINED ints4 sum_pixels(const uint16_t *p, int count, int step, int paired)
{
    ints4 sum = {0};

    if (paired) {
        words8 a = {0}, b = {0};

        for (; count >= 4; count -= 4, p += 4 * step) {
            a += load_words8(p);
            b += load_words8(p + 2 * step);
        }
        if (count >= 2) {
            a += load_words8(p);
            p += 2 * step;
            count -= 2;
        }
        a += b;
        uint16_t lanes[8];
        store_words8(lanes, a);
        sum = widened4(lanes) + widened4(lanes + step);
    } else {
        ints4 other = {0};

        for (; count >= 2; count -= 2, p += 2 * step) {
            sum += widened4(p);
            other += widened4(p + step);
        }
        sum += other;
    }
    return count ? sum + widened4(p) : sum;
}

/* Of pixels of three or four channels. */
INLINED void sum_packed(const uint16_t *row, const axis *axis, int step, int paired, double *boxes)
{
    for (int x = 0; x < axis->targets; x++, boxes += 4) {
        const span s = axis->spans[x];
        const uint16_t *p = row + s.begin * step;
        ints4 sum = sum_pixels(p, s.count, step, paired);

        if (axis->cell != 1)
            sum = sum * (int32_t)axis->cell + widened4(p - step) * (int32_t)s.head
                  + widened4(p + s.count * step) * (int32_t)s.tail;
        store_doubles4(boxes, __builtin_convertvector(sum, doubles4));
    }
}

/* Of one channel. */
INLINED void sum_single(const uint16_t *row, const axis *axis, double *boxes)
{
    for (int x = 0; x < axis->targets; x++, boxes += 4) {
        const span s = axis->spans[x];
        const uint16_t *p = row + s.begin;
        ints4 lanes = {0};
        int count = s.count;

        for (; count >= 4; count -= 4, p += 4)
            lanes += widened4(p);
        int32_t sum = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
        for (; count > 0; count--, p++)
            sum += *p;
        if (axis->cell != 1)
            sum = sum * (int32_t)axis->cell + row[s.begin - 1] * (int32_t)s.head + *p * (int32_t)s.tail;
        *boxes = sum;
    }
}

/* Of two interleaved channels, into lanes 0 and 1. */
INLINED void sum_double(const uint16_t *row, const axis *axis, double *boxes)
{
    for (int x = 0; x < axis->targets; x++, boxes += 4) {
        const span s = axis->spans[x];
        const uint16_t *p = row + 2 * s.begin;
        ints4 lanes = {0};
        int count = s.count;

        for (; count >= 2; count -= 2, p += 4)
            lanes += widened4(p);
        int32_t first = lanes[0] + lanes[2], second = lanes[1] + lanes[3];
        if (count) {
            first += p[0];
            second += p[1];
            p += 2;
        }
        if (axis->cell != 1) {
            const int32_t cell = (int32_t)axis->cell, head = (int32_t)s.head, tail = (int32_t)s.tail;

            first = first * cell + row[2 * s.begin - 2] * head + p[0] * tail;
            second = second * cell + row[2 * s.begin - 1] * head + p[1] * tail;
        }
        boxes[0] = first;
        boxes[1] = second;
    }
}

/* Of every `step`th entry, of any size. */
INLINED void sum_wide(const int32_t *row, const axis *axis, int step, double *boxes)
{
    for (int x = 0; x < axis->targets; x++, boxes += 4) {
        const span s = axis->spans[x];
        const int32_t *p = row + (ptrdiff_t)s.begin * step;
        double sum = 0;

        for (int i = 0; i < s.count; i++)
            sum += p[i * step];
        *boxes = sum * axis->cell + (double)p[-step] * s.head + (double)p[s.count * step] * s.tail;
    }
}

#endif
