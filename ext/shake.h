/* Camera shake: how far a base picture has moved against a slow mean of those before, and the picture moved back. */
#ifndef EDGEHAR_SHAKE_H
#define EDGEHAR_SHAKE_H

#include "looks.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SHAKE_MOST = 24, /* pixels, the longest move that is tried; a found one is shorter */
    SHAKE_SHIFT = 3,
    SHAKE_PARTS = 1 << SHAKE_SHIFT, /* of a pixel, in which moves are given */
    SHAKE_BANDS = 4, /* of each axis */
    SHAKE_SAMPLED = LOOKS_HEIGHT / 4 /* rows of the picture that a move is checked against: 2, 6, 10, ... */
};

/* Sums of the columns of four bands of 60 rows, and sums of the rows of four bands of 80 columns. */
typedef struct {
    int32_t columns[SHAKE_BANDS][LOOKS_WIDTH];
    int32_t rows[SHAKE_BANDS][LOOKS_HEIGHT];
} shake_sums;

/* The slow means, 64 times their values. They follow by an eighth a picture: 0.6 s at 12.5 pictures a second. */
typedef struct {
    shake_sums sums;
    int16_t picture[SHAKE_SAMPLED][LOOKS_WIDTH];
    uint8_t levels[SHAKE_SAMPLED][LOOKS_WIDTH]; /* of `picture`, rounded half up */
    shake_sums now; /* of the picture that was last looked at */
} shake_reference;

/* Start from a picture. */
void shake_start(const uint8_t *picture, shake_reference *reference);

/* Find how many eighths of a pixel the picture is to the right of the reference and below it; both 0 unless the picture, moved back,
 * is clearly more like the reference. */
void shake_find(const uint8_t *picture, shake_reference *reference, int *right, int *down);

/* Let the reference follow the picture that `shake_find` saw last, or what it became when it was `moved` back. */
void shake_follow(const uint8_t *picture, int moved, shake_reference *reference);

/* Move a picture back. `before` gives the pixels that it does not have: those beyond its border, and those that are not
 * `open` (0; 255 is open; NULL for all). */
void shake_back(const uint8_t *picture, const uint8_t *before, const uint8_t *open, int right, int down, uint8_t *out);

#endif
