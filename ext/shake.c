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
    /* Blocks of 4 sampled rows and 48 columns, which stay inside the picture at every shift. */
    FIRST_ROW = 4,
    BLOCK_ROWS = 4,
    BLOCKS_DOWN = 13,
    BLOCK_COLUMNS = 48,
    BLOCKS_ACROSS = (LOOKS_WIDTH - 2 * SHAKE_MOST) / BLOCK_COLUMNS,
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
        const int32_t mean = (sum - middle_sum) / count;
        int32_t total = 0;

        for (int i = 0; i < count; i++)
            total += abs(now[shift + i] - middle[i] - mean);
        totals[shift] += total;
        sum += now[shift + count] - now[shift];
    }
}

/* The shift with the least difference, over all bands. Among equals, the shortest, and the negative one. 0 if it is the
 * longest, because a still longer one may be better. */
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
    return best == 0 || best == 2 * SHAKE_MOST ? 0 : best - SHAKE_MOST;
}

static CLONED void block_differences(const uint8_t *restrict picture, const uint8_t *restrict levels, int32_t *restrict blocks)
{
    for (int down = 0; down < BLOCKS_DOWN; down++) {
        for (int across = 0; across < BLOCKS_ACROSS; across++) {
            int32_t sum = 0;

            for (int i = 0; i < BLOCK_ROWS; i++) {
                const int row = FIRST_ROW + down * BLOCK_ROWS + i, first = SHAKE_MOST + across * BLOCK_COLUMNS;
                const uint8_t *one = picture + (4 * row + 2) * LOOKS_WIDTH + first;
                const uint8_t *other = levels + row * LOOKS_WIDTH + first;

                for (int x = 0; x < BLOCK_COLUMNS; x++)
                    sum += abs(one[x] - other[x]);
            }
            *blocks++ = sum;
        }
    }
}

/* Whether the move makes at least twice as many blocks clearly more like the reference as it makes less like it, and at
 * least 3 in 10 of those that have something to compare. A thing that moves before a still ground does not. */
static int is_clear(const uint8_t *picture, const shake_reference *reference, int right, int down)
{
    int32_t still[BLOCKS], moved[BLOCKS];
    int better = 0, worse = 0, counted = 0;

    block_differences(picture, reference->levels[0], still);
    block_differences(picture + down * LOOKS_WIDTH + right, reference->levels[0], moved);
    for (int i = 0; i < BLOCKS; i++) {
        better += 8 * moved[i] < 7 * still[i];
        worse += 7 * moved[i] > 8 * still[i];
        counted += (still[i] | moved[i]) != 0;
    }
    return better >= 2 * worse && 10 * better >= 3 * counted;
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

void shake_back(const uint8_t *picture, const uint8_t *before, const uint8_t *open, int right, int down, uint8_t *out)
{
    const int first = right < 0 ? -right : 0, last = LOOKS_WIDTH - (right > 0 ? right : 0);

    memcpy(out, before, LOOKS_HEIGHT * LOOKS_WIDTH);
    for (int y = down < 0 ? -down : 0; y < LOOKS_HEIGHT && y + down < LOOKS_HEIGHT; y++) {
        const ptrdiff_t from = (ptrdiff_t)(y + down) * LOOKS_WIDTH + right;
        uint8_t *row = out + y * LOOKS_WIDTH;

        if (open == NULL) {
            memcpy(row + first, picture + from + first, (size_t)(last - first));
            continue;
        }
        for (int x = first; x < last; x++)
            row[x] = (uint8_t)((picture[from + x] & open[from + x]) | (row[x] & ~open[from + x]));
    }
}
