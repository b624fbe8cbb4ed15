#include "light.h"

#include "vectors.h"

#include <stdlib.h>

enum {
    BLOCK_ROWS = LOOKS_HEIGHT / LIGHT_DOWN,
    BLOCK_COLUMNS = LOOKS_WIDTH / LIGHT_ACROSS,
    BLOCK = BLOCK_ROWS * BLOCK_COLUMNS, /* pixels */
    DARK_LEVELS = 16, /* a darker block says little */
    OVEREXPOSED = 250, /* a pixel that may have been brighter */
    MOST_OVEREXPOSED = BLOCK / 16,
    CLEAR_LEVELS = 2, /* by which a block must change */
    FADE_SHIFT = 7
};

static CLONED void sum_blocks(const uint8_t *restrict picture, int32_t *restrict sums, int32_t *restrict overexposed)
{
    for (int down = 0; down < LIGHT_DOWN; down++, sums += LIGHT_ACROSS, overexposed += LIGHT_ACROSS) {
        uint16_t columns[LOOKS_WIDTH] = {0}, bright[LOOKS_WIDTH] = {0}; /* at most 20 * 255 */

        for (int y = 0; y < BLOCK_ROWS; y++, picture += LOOKS_WIDTH)
            for (int x = 0; x < LOOKS_WIDTH; x++) {
                columns[x] = (uint16_t)(columns[x] + picture[x]);
                bright[x] = (uint16_t)(bright[x] + (picture[x] >= OVEREXPOSED));
            }
        for (int across = 0; across < LIGHT_ACROSS; across++) {
            int32_t sum = 0, count = 0;

            for (int x = across * BLOCK_COLUMNS; x < (across + 1) * BLOCK_COLUMNS; x++) {
                sum += columns[x];
                count += bright[x];
            }
            sums[across] = sum;
            overexposed[across] = count;
        }
    }
}

void light_look(const uint8_t *picture, light_reference *reference)
{
    sum_blocks(picture, reference->now, reference->overexposed);
}

void light_start(const uint8_t *picture, light_reference *reference)
{
    light_look(picture, reference);
    memcpy(reference->before, reference->now, sizeof reference->before);
}

/* Half of the weight, twice: whether blocks of at least half of all of the brightness need no more than this gain. */
static CLONED int is_enough(const int32_t *restrict counted, const int32_t *restrict before, int gain)
{
    int32_t weight = 0; /* less than 2^25 */

    for (int i = 0; i < LIGHT_BLOCKS; i++)
        weight += before[i] * LIGHT_ONE <= gain * counted[i] ? counted[i] : -counted[i];
    return weight >= 0;
}

/* The least gain that is enough, or LIGHT_MOST. */
static int median(const light_reference *reference)
{
    int low = LIGHT_LEAST, high = LIGHT_MOST;

    while (low < high) {
        const int middle = (low + high) / 2;

        if (is_enough(reference->counted, reference->before, middle))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int light_find(const uint8_t *picture, light_reference *reference)
{
    int all = 0, changed = 0;

    light_look(picture, reference);
    for (int i = 0; i < LIGHT_BLOCKS; i++) {
        const int counts = reference->now[i] >= DARK_LEVELS * BLOCK && reference->before[i] >= DARK_LEVELS * BLOCK
                           && reference->overexposed[i] < MOST_OVEREXPOSED;

        reference->counted[i] = counts ? reference->now[i] : 0;
        all += counts;
    }
    const int gain = median(reference);

    if (gain == LIGHT_LEAST || gain == LIGHT_MOST)
        return LIGHT_ONE;
    for (int i = 0; i < LIGHT_BLOCKS; i++)
        changed += abs(gain - LIGHT_ONE) * reference->counted[i] > CLEAR_LEVELS * BLOCK * LIGHT_ONE;
    return 10 * changed >= 3 * all ? gain : LIGHT_ONE;
}

int light_find_again(const uint8_t *picture, int gain, light_reference *reference)
{
    light_look(picture, reference);
    for (int i = 0; i < LIGHT_BLOCKS; i++) {
        const int32_t sum = reference->now[i] * LIGHT_ONE / gain, most = 255 * BLOCK;

        reference->now[i] = sum < most ? sum : most;
        if (reference->counted[i] != 0)
            reference->counted[i] = reference->now[i];
    }
    return median(reference);
}

int light_is_clear(const light_reference *reference, int gain)
{
    int all = 0, better = 0, worse = 0, alike = 0;

    for (int i = 0; i < LIGHT_BLOCKS; i++) {
        const int32_t counted = reference->counted[i], wanted = reference->before[i];
        const int32_t before = abs(counted - wanted), after = abs(counted * gain / LIGHT_ONE - wanted);

        if (counted == 0)
            continue;
        all++;
        worse += after - before > CLEAR_LEVELS * BLOCK;
        if (before - after > CLEAR_LEVELS * BLOCK && 3 * after <= 2 * before) {
            better++;
            alike += 32 * after <= wanted;
        }
    }
    return gain > LIGHT_LEAST && gain < LIGHT_MOST && all > 0 && better >= 2 * worse && 10 * alike >= 3 * all;
}

int light_shown(int gain)
{
    const int step = (abs(LIGHT_ONE - gain) + (1 << FADE_SHIFT) - 1) >> FADE_SHIFT;

    return gain < LIGHT_ONE ? gain + step : gain - step;
}

static CLONED void multiply(const uint8_t *restrict picture, const uint8_t *restrict least, uint8_t from, int gain,
                            uint8_t *restrict out)
{
    const uint16_t factor = (uint16_t)gain;

    for (int x = 0; x < LOOKS_WIDTH; x++) {
        /* The upper half of a product of 16 bits, then rounded: as if it were rounded once. */
        const uint16_t product = (uint16_t)(((uint32_t)(uint16_t)(picture[x] << 7) * factor) >> 16);
        const uint16_t rounded = (uint16_t)((product + 4) >> 3);
        const uint8_t level = (uint8_t)(rounded < 255 ? rounded : 255);
        const uint8_t lowest = picture[x] >= from ? least[x] : 0;

        out[x] = level > lowest ? level : lowest;
    }
}

void light_change(const uint8_t *picture, const uint8_t *before, int gain, uint8_t *out)
{
    static const uint8_t none[LOOKS_WIDTH];

    for (int y = 0; y < LOOKS_HEIGHT; y++) {
        const ptrdiff_t row = (ptrdiff_t)y * LOOKS_WIDTH;
        uint8_t changed[LOOKS_WIDTH];

        multiply(picture + row, before != NULL && gain < LIGHT_ONE ? before + row : none, OVEREXPOSED, gain, changed);
        memcpy(out + row, changed, LOOKS_WIDTH);
    }
}

void light_follow(int gain, light_reference *reference)
{
    for (int i = 0; i < LIGHT_BLOCKS; i++) {
        const int32_t shown = reference->now[i] * gain / LIGHT_ONE, most = 255 * BLOCK;

        reference->before[i] = shown < most ? shown : most;
    }
}
