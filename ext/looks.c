#include "looks.h"

#include "vectors.h"

#include <stdlib.h>
#include <string.h>

enum { QUIET_LEVELS = 6, STEP_OF_256 = 24 };

CLONED void looks_mask(const uint8_t *restrict open, uint8_t *restrict base)
{
    for (int i = 0; i < LOOKS_HEIGHT * LOOKS_WIDTH; i++)
        base[i] &= open[i];
}

CLONED void looks_cells(const uint8_t *restrict base, uint8_t *restrict cells)
{
    for (int row = 0; row < LOOKS_ROWS; row++, base += LOOKS_CELL * LOOKS_WIDTH, cells += LOOKS_COLUMNS) {
        uint16_t sums[LOOKS_WIDTH];

        for (int x = 0; x < LOOKS_WIDTH; x++) {
            sums[x] = 0;
            for (int y = 0; y < LOOKS_CELL; y++)
                sums[x] = (uint16_t)(sums[x] + base[y * LOOKS_WIDTH + x]);
        }
        for (int column = 0; column < LOOKS_COLUMNS; column++) {
            const uint16_t *sum = sums + LOOKS_CELL * column;

            cells[column] = (uint8_t)((sum[0] + sum[1] + sum[2] + sum[3] + 8) >> 4);
        }
    }
}

CLONED void looks_move_energy(const uint8_t *restrict now, const uint8_t *restrict before, int32_t *restrict energy)
{
    for (int i = 0; i < LOOKS_ROWS * LOOKS_COLUMNS; i++) {
        const int32_t beyond = abs(now[i] - before[i]) - QUIET_LEVELS;
        const int32_t target = beyond > 0 ? beyond * 256 : 0;

        /* The shift is arithmetic: it rounds down, so that an energy falls to 0. */
        energy[i] += ((target - energy[i]) * STEP_OF_256) >> 8;
    }
}

/* Weight of a cell by its place in the square: 1 at the border, most in the middle. */
static inline int32_t weight_of(int place, int side)
{
    return place < side - 1 - place ? place + 1 : side - place;
}

CLONED void looks_place(const int32_t *restrict energy, int side, int *top, int *left)
{
    int64_t best = 0;

    *top = (LOOKS_ROWS - side) / 2;
    *left = (LOOKS_COLUMNS - side) / 2;
    for (int row = 0; row + side <= LOOKS_ROWS; row++) {
        int32_t columns[LOOKS_COLUMNS] = {0}; /* weighted sums over `side` rows: less than 2^26 */

        for (int y = 0; y < side; y++) {
            const int32_t weight = weight_of(y, side), *of_row = energy + (row + y) * LOOKS_COLUMNS;

            for (int x = 0; x < LOOKS_COLUMNS; x++)
                columns[x] += weight * of_row[x];
        }
        for (int column = 0; column + side <= LOOKS_COLUMNS; column++) {
            int64_t sum = 0;

            for (int x = 0; x < side; x++)
                sum += (int64_t)weight_of(x, side) * columns[column + x];
            if (sum > best) {
                best = sum;
                *top = row;
                *left = column;
            }
        }
    }
}
