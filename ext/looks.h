/* Where a picture moves most: a slow mean of its differences over coarse cells, and the square that is centered on it. */
#ifndef EDGEHAR_LOOKS_H
#define EDGEHAR_LOOKS_H

#include <stddef.h>
#include <stdint.h>

enum {
    LOOKS_HEIGHT = 240, /* of the base picture */
    LOOKS_WIDTH = 320,
    LOOKS_CELL = 4, /* pixels of a cell's side */
    LOOKS_ROWS = LOOKS_HEIGHT / LOOKS_CELL,
    LOOKS_COLUMNS = LOOKS_WIDTH / LOOKS_CELL
};

/* Make the pixels of the base picture black that are not `open` (0; 255 is open). */
void looks_mask(const uint8_t *open, uint8_t *base);

/* Average the base picture over its cells, rounded half up. */
void looks_cells(const uint8_t *base, uint8_t *cells);

/* Move each energy by 24/256 of the way to 256 times the difference of its cell beyond 6 levels; differences up to 6
 * are sensor noise. At 12.5 frames a second the time constant is 0.8 s. An energy is 0 to 2^16. */
void looks_move_energy(const uint8_t *now, const uint8_t *before, int32_t *energy);

/* Find the square of `side` cells with the largest weighted sum of energy, the first in row order among equals; the middle
 * if all energy is 0. Weights fall from the middle of the square to its border as those of a tent, so that the square is
 * centered on what moves. `top` and `left` are in cells. */
void looks_place(const int32_t *energy, int side, int *top, int *left);

#endif
