#include "shake.h"

#include "vectors.h"

#include <stdlib.h>
#include <string.h>

enum {
    SCALE = 64,
    FOLLOW_SHIFT = 3,
    BAND_ROWS = LOOKS_HEIGHT / SHAKE_BANDS,
    BAND_COLUMNS = LOOKS_WIDTH / SHAKE_BANDS,
    SHIFTS = 2 * SHAKE_MOST + 1,
    HALF = SHAKE_PARTS / 2,
    /* Blocks of 4 sampled rows and 32 columns, which stay inside the picture at every shift. */
    FIRST_ROW = 6,
    FIRST_COLUMN = 32,
    BLOCK_ROWS = 4,
    BLOCKS_DOWN = 12,
    BLOCK_COLUMNS = 32,
    BLOCKS_ACROSS = 8,
    BLOCKS = BLOCKS_DOWN * BLOCKS_ACROSS
};

static CLONED void sum_up(const uint8_t *restrict picture, shake_sums *restrict sums)
{
    for (int band = 0; band < SHAKE_BANDS; band++) {
        uint16_t columns[LOOKS_WIDTH] = {0}; /* at most 60 * 255 */

        for (int y = band * BAND_ROWS; y < (band + 1) * BAND_ROWS; y++) {
            const uint8_t *row = picture + y * LOOKS_WIDTH;

            for (int x = 0; x < LOOKS_WIDTH; x++)
                columns[x] = (uint16_t)(columns[x] + row[x]);
            for (int other = 0; other < SHAKE_BANDS; other++) {
                int32_t sum = 0;

                for (int x = 0; x < BAND_COLUMNS; x++)
                    sum += row[other * BAND_COLUMNS + x];
                sums->rows[other][y] = sum;
            }
        }
        for (int x = 0; x < LOOKS_WIDTH; x++)
            sums->columns[band][x] = columns[x];
    }
}

static CLONED void follow_sums(const int32_t *restrict now, int count, int shift, int32_t *restrict reference)
{
    /* The shift is arithmetic: it rounds down. */
    for (int i = 0; i < count; i++)
        reference[i] += (now[i] * SCALE - reference[i]) >> shift;
}

static CLONED void follow_row(const uint8_t *restrict row, int shift, int16_t *restrict slow, uint8_t *restrict levels)
{
    for (int x = 0; x < LOOKS_WIDTH; x++) {
        slow[x] = (int16_t)(slow[x] + ((row[x] * SCALE - slow[x]) >> shift));
        levels[x] = (uint8_t)((slow[x] + SCALE / 2) / SCALE);
    }
}

static void follow(const uint8_t *picture, int shift, shake_reference *reference)
{
    follow_sums(reference->now.columns[0], SHAKE_BANDS * LOOKS_WIDTH, shift, reference->sums.columns[0]);
    follow_sums(reference->now.rows[0], SHAKE_BANDS * LOOKS_HEIGHT, shift, reference->sums.rows[0]);
    for (int i = 0; i < SHAKE_SAMPLED; i++)
        follow_row(picture + (4 * i + 2) * LOOKS_WIDTH, shift, reference->picture[i], reference->levels[i]);
}

void shake_start(const uint8_t *picture, shake_reference *reference)
{
    memset(reference, 0, sizeof *reference);
    sum_up(picture, &reference->now);
    follow(picture, 0, reference);
}

void shake_follow(const uint8_t *picture, int moved, shake_reference *reference)
{
    if (moved)
        sum_up(picture, &reference->now);
    follow(picture, FOLLOW_SHIFT, reference);
}

/* Add the sum of absolute differences, less their mean, at each shift. A sum is less than 2^25. */
INLINED void add_differences(const int32_t *restrict now, const int32_t *restrict reference, int length,
                             int32_t *restrict totals)
{
    const int count = length - 2 * SHAKE_MOST;
    int32_t middle[LOOKS_WIDTH], middle_sum = 0, sum = 0;

    for (int i = 0; i < count; i++) {
        middle[i] = (reference[SHAKE_MOST + i] + SCALE / 2) / SCALE;
        middle_sum += middle[i];
        sum += now[i];
    }
    for (int shift = 0; shift < SHIFTS; shift++) {
        int32_t total = 0;

        if (shift > 0)
            sum += now[shift - 1 + count] - now[shift - 1];
        const int32_t mean = (sum - middle_sum) / count;
        for (int i = 0; i < count; i++)
            total += abs(now[shift + i] - middle[i] - mean);
        totals[shift] += total;
    }
}

/* Add the same differences at each part of a pixel around a shift, with the sums interpolated between pixels: from half a
 * pixel less to half a pixel more. A sum is less than 2^28. */
INLINED void add_part_differences(const int32_t *restrict now, const int32_t *restrict reference, int length, int shift,
                                  int32_t *restrict totals)
{
    const int count = length - 2 * SHAKE_MOST;
    int32_t middle[LOOKS_WIDTH], middle_sum = 0;

    for (int i = 0; i < count; i++) {
        middle[i] = (reference[SHAKE_MOST + i] + SCALE / SHAKE_PARTS / 2) / (SCALE / SHAKE_PARTS);
        middle_sum += middle[i];
    }
    for (int part = -HALF; part <= HALF; part++) {
        const int32_t *from = now + SHAKE_MOST + shift - (part < 0);
        const int32_t right = part < 0 ? part + SHAKE_PARTS : part, left = SHAKE_PARTS - right;
        int32_t levels[LOOKS_WIDTH], sum = 0, total = 0;

        for (int i = 0; i < count; i++) {
            levels[i] = left * from[i] + right * from[i + 1];
            sum += levels[i];
        }
        const int32_t mean = (sum - middle_sum) / count;
        for (int i = 0; i < count; i++)
            total += abs(levels[i] - middle[i] - mean);
        totals[HALF + part] += total;
    }
}

/* The shift with the least difference, over all bands. Among equals, the shortest, and the negative one. 0 if it is the
 * longest, because a still longer one may be better. In parts of a pixel. */
static CLONED int nearest(const int32_t *now, const int32_t *reference, int length)
{
    int32_t totals[SHIFTS] = {0};
    int best = SHAKE_MOST;

    for (int band = 0; band < SHAKE_BANDS; band++)
        add_differences(now + band * length, reference + band * length, length, totals);
    for (int by = 1; by <= SHAKE_MOST; by++) {
        if (totals[SHAKE_MOST - by] < totals[best])
            best = SHAKE_MOST - by;
        if (totals[SHAKE_MOST + by] < totals[best])
            best = SHAKE_MOST + by;
    }
    if (best == 0 || best == 2 * SHAKE_MOST)
        return 0;

    int32_t parts[SHAKE_PARTS + 1] = {0};
    const int shift = best - SHAKE_MOST;

    for (int band = 0; band < SHAKE_BANDS; band++)
        add_part_differences(now + band * length, reference + band * length, length, shift, parts);
    best = HALF;
    for (int by = 1; by <= HALF; by++) {
        if (parts[HALF - by] < parts[best])
            best = HALF - by;
        if (parts[HALF + by] < parts[best])
            best = HALF + by;
    }
    return shift * SHAKE_PARTS + best - HALF;
}

/* Whole pixels of a move, rounded down, and the parts beyond them. */
INLINED int whole_of(int parts)
{
    return parts >> SHAKE_SHIFT;
}

INLINED int rest_of(int parts)
{
    return parts & (SHAKE_PARTS - 1);
}

/* `count` pixels, interpolated with those to the right and in the row below and rounded half up. With no part of them, these
 * are not read. */
static CLONED void interpolate(const uint8_t *restrict row, int right, int down, int count, uint8_t *restrict out)
{
    const uint8_t *next = row + (right != 0), *below = row + (down ? LOOKS_WIDTH : 0), *corner = below + (right != 0);
    const uint16_t left = (uint16_t)(SHAKE_PARTS - right), up = (uint16_t)(SHAKE_PARTS - down);

    for (int x = 0; x < count; x++) {
        const uint16_t upper = (uint16_t)(left * row[x] + right * next[x]);
        const uint16_t lower = (uint16_t)(left * below[x] + right * corner[x]);
        const uint16_t sum = (uint16_t)(up * upper + down * lower + (1 << (2 * SHAKE_SHIFT - 1)));

        out[x] = (uint8_t)(sum >> (2 * SHAKE_SHIFT));
    }
}

static CLONED void row_differences(const uint8_t *restrict row, const uint8_t *restrict levels, int32_t *restrict blocks)
{
    for (int across = 0; across < BLOCKS_ACROSS; across++) {
        int32_t sum = 0;

        for (int x = across * BLOCK_COLUMNS; x < (across + 1) * BLOCK_COLUMNS; x++)
            sum += abs(row[x] - levels[x]);
        blocks[across] += sum;
    }
}

/* Sums of absolute differences of the picture, moved back, to the reference. */
static void block_differences(const uint8_t *picture, const shake_reference *reference, int right, int down, int32_t *blocks)
{
    memset(blocks, 0, BLOCKS * sizeof *blocks);
    for (int i = 0; i < BLOCKS_DOWN * BLOCK_ROWS; i++) {
        const int row = 4 * (FIRST_ROW + i) + 2 + whole_of(down);
        const uint8_t *from = picture + row * LOOKS_WIDTH + FIRST_COLUMN + whole_of(right);
        uint8_t moved[BLOCKS_ACROSS * BLOCK_COLUMNS];

        if (rest_of(right) || rest_of(down)) {
            interpolate(from, rest_of(right), rest_of(down), BLOCKS_ACROSS * BLOCK_COLUMNS, moved);
            from = moved;
        }
        row_differences(from, reference->levels[FIRST_ROW + i] + FIRST_COLUMN, blocks + i / BLOCK_ROWS * BLOCKS_ACROSS);
    }
}

/* Whether a move makes at least twice as many blocks clearly more like the reference as it makes less like it, and at least
 * 3 in 10 of those that have something to compare. A thing that moves before a still ground does not. */
static int is_better(const int32_t *moved, const int32_t *other)
{
    int better = 0, worse = 0, counted = 0;

    for (int i = 0; i < BLOCKS; i++) {
        better += 8 * moved[i] < 7 * other[i];
        worse += 7 * moved[i] > 8 * other[i];
        counted += (other[i] | moved[i]) != 0;
    }
    return better >= 2 * worse && 10 * better >= 3 * counted;
}

static int is_clear(const uint8_t *picture, const shake_reference *reference, int right, int down)
{
    int32_t moved[BLOCKS], other[BLOCKS];

    block_differences(picture, reference, right, down, moved);
    block_differences(picture, reference, 0, 0, other);
    if (!is_better(moved, other))
        return 0;
    if (abs(right) >= SHAKE_PARTS || abs(down) >= SHAKE_PARTS)
        return 1;
    /* Interpolation removes noise, in every direction. */
    block_differences(picture, reference, -right, -down, other);
    return is_better(moved, other);
}

void shake_find(const uint8_t *picture, shake_reference *reference, int *right, int *down)
{
    const shake_sums *now = &reference->now, *slow = &reference->sums;

    sum_up(picture, &reference->now);
    *right = nearest(now->columns[0], slow->columns[0], LOOKS_WIDTH);
    *down = nearest(now->rows[0], slow->rows[0], LOOKS_HEIGHT);
    if ((*right != 0 || *down != 0) && !is_clear(picture, reference, *right, *down))
        *right = *down = 0;
}

/* Keep the pixels of `row` that are open in all of the pixels that they were made of. */
static CLONED void keep_open(const uint8_t *restrict row, const uint8_t *restrict open, int right, int down, int count,
                             uint8_t *restrict out)
{
    const uint8_t *below = open + (down ? LOOKS_WIDTH : 0);
    const int next = right != 0;

    for (int x = 0; x < count; x++) {
        const uint8_t seen = open[x] & open[x + next] & below[x] & below[x + next];

        out[x] = (uint8_t)((row[x] & seen) | (out[x] & ~seen));
    }
}

void shake_back(const uint8_t *picture, const uint8_t *before, const uint8_t *open, int right, int down, uint8_t *out)
{
    const int across = whole_of(right), along = whole_of(down), right_rest = rest_of(right), down_rest = rest_of(down);
    const int first = across < 0 ? -across : 0, top = along < 0 ? -along : 0;
    const int beyond = across + (right_rest != 0), below = along + (down_rest != 0);
    const int count = LOOKS_WIDTH - first - (beyond > 0 ? beyond : 0), bottom = LOOKS_HEIGHT - (below > 0 ? below : 0);

    memcpy(out, before, LOOKS_HEIGHT * LOOKS_WIDTH);
    for (int y = top; y < bottom; y++) {
        const ptrdiff_t from = (ptrdiff_t)(y + along) * LOOKS_WIDTH + across + first;
        uint8_t moved[LOOKS_WIDTH], *row = out + y * LOOKS_WIDTH + first;

        interpolate(picture + from, right_rest, down_rest, count, open == NULL ? row : moved);
        if (open != NULL)
            keep_open(moved, open + from, right_rest, down_rest, count, row);
    }
}
