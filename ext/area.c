#include "area.h"

#include <stdlib.h>
#include <string.h>

/* The loops below are written for GCC's and Clang's auto-vectoriser. On x86 with glibc the loader picks the AVX2 copy
 * where the processor has it; elsewhere the baseline (SSE2, NEON) is used. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define CLONED __attribute__((target_clones("avx2", "default")))
#else
#define CLONED
#endif
#if defined(__GNUC__)
#define INLINED static inline __attribute__((always_inline))
#else
#define INLINED static inline
#endif

enum { ROWS_AT_ONCE = 8 };

/* Source cells under one output cell: cells [begin, end) wholly, cell begin-1 by `head` and cell `end` by `tail`.
 * Weights are in 1/q of a source cell; head or tail 0 means there is no such cell. */
typedef struct {
    int begin, end;
    uint32_t head, tail;
} span;

/* One axis, s source cells onto d output cells: s/d = length/cell in lowest terms, so that with a source cell `cell`
 * units long every output cell is `length` units long and all weights are integers. */
typedef struct {
    uint32_t length, cell;
    span *spans;
} axis;

struct area_plan {
    int channels, width, height;
    size_t row_bytes;  /* of the source */
    axis rows, columns;
    uint64_t area;     /* sum of the weights of one output pixel */
    int wide;          /* the sums need the wide types */
    uint8_t *blank;    /* a source row of zeros: stands in for rows that a block of rows lacks */
    void *row;         /* one output row of vertical sums, source width */
    void *boxes;       /* one output row of sums, RGB */
};

static uint32_t greatest_common_divisor(uint32_t a, uint32_t b)
{
    while (b != 0) {
        const uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static int axis_init(axis *axis, int source, int target)
{
    const uint32_t divisor = greatest_common_divisor((uint32_t)source, (uint32_t)target);
    const uint32_t length = (uint32_t)source / divisor, cell = (uint32_t)target / divisor;

    axis->length = length;
    axis->cell = cell;
    axis->spans = malloc((size_t)target * sizeof *axis->spans);
    if (axis->spans == NULL)
        return -1;
    for (int i = 0; i < target; i++) {
        const uint32_t from = (uint32_t)i * length, to = from + length;
        span *s = &axis->spans[i];

        s->begin = (int)((from + cell - 1) / cell);
        s->end = (int)(to / cell);
        if (s->end < s->begin) { /* the output cell lies inside one source cell */
            s->end = s->begin;
            s->head = length;
            s->tail = 0;
        } else {
            s->head = (uint32_t)s->begin * cell - from;
            s->tail = to - (uint32_t)s->end * cell;
        }
    }
    return 0;
}

area_plan *area_plan_create(int source_height, int source_width, int source_channels, int height, int width)
{
    area_plan *plan = calloc(1, sizeof *plan);

    if (plan == NULL)
        return NULL;
    plan->channels = source_channels;
    plan->height = height;
    plan->width = width;
    plan->row_bytes = (size_t)source_width * (size_t)source_channels;
    if (axis_init(&plan->rows, source_height, height) < 0 || axis_init(&plan->columns, source_width, width) < 0)
        goto out_of_memory;
    plan->area = (uint64_t)plan->rows.length * plan->columns.length;
    /* Narrow: a vertical sum, at most 255 * rows.length, in 16 bits, and twice a box plus its area (see NAME_levels) in
     * 31. Wide: at most 255 * 8192 in 32 bits and 511 * 8192^2 in 63. */
    plan->wide = 255 * plan->rows.length > UINT16_MAX || 511 * plan->area > INT32_MAX;
    plan->blank = calloc(plan->row_bytes, 1);
    plan->row = malloc(plan->row_bytes * (plan->wide ? sizeof(uint32_t) : sizeof(uint16_t)));
    plan->boxes = malloc((size_t)width * 3 * (plan->wide ? sizeof(uint64_t) : sizeof(uint32_t)));
    if (plan->blank == NULL || plan->row == NULL || plan->boxes == NULL)
        goto out_of_memory;
    return plan;

out_of_memory:
    area_plan_destroy(plan);
    return NULL;
}

void area_plan_destroy(area_plan *plan)
{
    if (plan == NULL)
        return;
    free(plan->rows.spans);
    free(plan->columns.spans);
    free(plan->blank);
    free(plan->row);
    free(plan->boxes);
    free(plan);
}

/* The passes over one output row, for sums that fit ROW (vertical) and SUM (both directions; SIGNED is SUM with a sign,
 * which converts to double faster).
 *
 * NAME_rows:    vertical sums of the source rows under output row `s`, byte by byte, so the channels do not matter.
 * NAME_columns: those sums over the columns under each output pixel.
 * NAME_levels:  sums to levels, rounded half up: floor((2 * sum + area) / (2 * area)). The quotient is below 256 and
 *               either an integer or at least 1 / (2 * area) >= 2^-27 from one, and the double product is within 2^-43
 *               of it, so adding 2^-30 before cutting off gives the exact floor. */
#define DEFINE_PASSES(NAME, ROW, SUM, SIGNED) \
    INLINED void NAME##_rows(const area_plan *plan, const uint8_t *pixels, ptrdiff_t stride, const span *s) \
    { \
        const size_t n = plan->row_bytes; \
        ROW *restrict row = plan->row; \
        int at = s->begin; \
        do { \
            const uint8_t *r[ROWS_AT_ONCE]; \
            for (int k = 0; k < ROWS_AT_ONCE; k++) \
                r[k] = at + k < s->end ? pixels + (at + k) * stride : plan->blank; \
            const uint8_t *r0 = r[0], *r1 = r[1], *r2 = r[2], *r3 = r[3]; \
            const uint8_t *r4 = r[4], *r5 = r[5], *r6 = r[6], *r7 = r[7]; \
            if (at == s->begin) \
                for (size_t i = 0; i < n; i++) \
                    row[i] = (ROW)(r0[i] + r1[i] + r2[i] + r3[i] + r4[i] + r5[i] + r6[i] + r7[i]); \
            else \
                for (size_t i = 0; i < n; i++) \
                    row[i] = (ROW)(row[i] + r0[i] + r1[i] + r2[i] + r3[i] + r4[i] + r5[i] + r6[i] + r7[i]); \
            at += ROWS_AT_ONCE; \
        } while (at < s->end); \
        if (plan->rows.cell != 1) { \
            const ROW cell = (ROW)plan->rows.cell, head = (ROW)s->head, tail = (ROW)s->tail; \
            const uint8_t *above = head ? pixels + (s->begin - 1) * stride : plan->blank; \
            const uint8_t *below = tail ? pixels + s->end * stride : plan->blank; \
            for (size_t i = 0; i < n; i++) \
                row[i] = (ROW)((ROW)(row[i] * cell) + (ROW)(above[i] * head) + (ROW)(below[i] * tail)); \
        } \
    } \
 \
    INLINED void NAME##_columns(const area_plan *plan, int channels, int reversed) \
    { \
        const ROW *row = plan->row; \
        const SUM cell = plan->columns.cell; \
        const int c1 = channels == 3 ? 1 : 0, c2 = channels == 3 ? 2 : 0; \
        SUM *restrict box = plan->boxes; \
        for (int x = 0; x < plan->width; x++, box += 3) { \
            const span s = plan->columns.spans[x]; \
            const ROW *p = row + (size_t)s.begin * channels; \
            SUM sum0 = 0, sum1 = 0, sum2 = 0; \
            for (int i = s.begin; i < s.end; i++, p += channels) { \
                sum0 += p[0]; \
                sum1 += p[c1]; \
                sum2 += p[c2]; \
            } \
            sum0 *= cell; \
            sum1 *= cell; \
            sum2 *= cell; \
            if (s.head) { \
                const ROW *left = row + (size_t)(s.begin - 1) * channels; \
                sum0 += (SUM)left[0] * s.head; \
                sum1 += (SUM)left[c1] * s.head; \
                sum2 += (SUM)left[c2] * s.head; \
            } \
            if (s.tail) { \
                sum0 += (SUM)p[0] * s.tail; \
                sum1 += (SUM)p[c1] * s.tail; \
                sum2 += (SUM)p[c2] * s.tail; \
            } \
            box[0] = reversed ? sum2 : sum0; \
            box[1] = sum1; \
            box[2] = reversed ? sum0 : sum2; \
        } \
    } \
 \
    INLINED void NAME##_sums(const area_plan *plan, const uint8_t *pixels, ptrdiff_t stride, int reversed, int y) \
    { \
        NAME##_rows(plan, pixels, stride, &plan->rows.spans[y]); \
        if (plan->channels == 3) \
            NAME##_columns(plan, 3, reversed); \
        else \
            NAME##_columns(plan, 1, reversed); \
    } \
 \
    INLINED void NAME##_levels(const area_plan *plan, uint8_t *restrict out) \
    { \
        const SUM *box = plan->boxes, area = (SUM)plan->area; \
        const double share = 0.5 / (double)plan->area; \
        for (int i = 0; i < plan->width * 3; i++) \
            out[i] = (uint8_t)(int32_t)((double)(SIGNED)(2 * box[i] + area) * share + 0x1p-30); \
    } \
 \
    INLINED void NAME##_floats(const area_plan *plan, float *restrict out) \
    { \
        const SUM *box = plan->boxes; \
        const double share = 1.0 / (255.0 * (double)plan->area); \
        for (int i = 0; i < plan->width * 3; i++) \
            out[i] = (float)((double)(SIGNED)box[i] * share); \
    }

DEFINE_PASSES(narrow, uint16_t, uint32_t, int32_t)
DEFINE_PASSES(wide, uint32_t, uint64_t, int64_t)

CLONED void area_shrink_bytes(area_plan *plan, const uint8_t *pixels, ptrdiff_t row_stride, int reversed,
                              const uint8_t map[256], uint8_t *out)
{
    const int n = plan->width * 3;

    for (int y = 0; y < plan->height; y++, out += n) {
        if (plan->wide) {
            wide_sums(plan, pixels, row_stride, reversed, y);
            wide_levels(plan, out);
        } else {
            narrow_sums(plan, pixels, row_stride, reversed, y);
            narrow_levels(plan, out);
        }
        for (int i = 0; i < n; i++)
            out[i] = map[out[i]];
    }
}

CLONED void area_shrink_floats(area_plan *plan, const uint8_t *pixels, ptrdiff_t row_stride, int reversed, float *out)
{
    for (int y = 0; y < plan->height; y++, out += plan->width * 3) {
        if (plan->wide) {
            wide_sums(plan, pixels, row_stride, reversed, y);
            wide_floats(plan, out);
        } else {
            narrow_sums(plan, pixels, row_stride, reversed, y);
            narrow_floats(plan, out);
        }
    }
}

void motion_grey(const uint8_t *rgb, size_t count, uint8_t *grey)
{
    for (size_t i = 0; i < count; i++, rgb += 3)
        grey[i] = (uint8_t)((77 * rgb[0] + 150 * rgb[1] + 29 * rgb[2] + 128) >> 8);
}

void motion_bytes(const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count,
                  const uint8_t map[511], uint8_t *out)
{
    for (size_t i = 0; i < count; i++, out += 3) {
        const int step = now[i] - before[i];

        out[0] = map[step + 255];
        out[1] = map[now[i] - earlier[i] + 255];
        out[2] = map[abs(step) + 255];
    }
}

void motion_floats(const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, out += 3) {
        const int step = now[i] - before[i];

        out[0] = (float)step / 255.0f;
        out[1] = (float)(now[i] - earlier[i]) / 255.0f;
        out[2] = (float)abs(step) / 255.0f;
    }
}
