/* Changes of light: by what factor a base picture is brighter or darker than the one shown before it, and the picture at
 * that one's brightness. */
#ifndef EDGEHAR_LIGHT_H
#define EDGEHAR_LIGHT_H

#include "looks.h"

#include <stdint.h>

enum {
    LIGHT_SHIFT = 12,
    LIGHT_ONE = 1 << LIGHT_SHIFT, /* the gain of a picture that stays as it is */
    LIGHT_LEAST = LIGHT_ONE / 2, /* a gain that counts is between these two */
    LIGHT_MOST = 2 * LIGHT_ONE,
    LIGHT_DOWN = 12, /* blocks of 20 rows and 40 columns */
    LIGHT_ACROSS = 8,
    LIGHT_BLOCKS = LIGHT_DOWN * LIGHT_ACROSS
};

/* Sums of the pixels of each block. */
typedef struct {
    int32_t before[LIGHT_BLOCKS]; /* of the picture that was last shown */
    int32_t now[LIGHT_BLOCKS]; /* of the picture that was last looked at, before any gain */
    int32_t overexposed[LIGHT_BLOCKS]; /* how many pixels of it are */
    int32_t counted[LIGHT_BLOCKS]; /* the same of blocks that are neither dark nor overexposed; 0 for the others */
} light_reference;

/* Look at a picture, and find nothing. */
void light_look(const uint8_t *picture, light_reference *reference);

/* Start from a picture. */
void light_start(const uint8_t *picture, light_reference *reference);

/* Return the gain that makes the picture as bright as the one before: the weighted median of the blocks. It is LIGHT_ONE if
 * it changes too few of them to count. */
int light_find(const uint8_t *picture, light_reference *reference);

/* The same for a picture that was multiplied by `gain` and moved back since: the gain of both. */
int light_find_again(const uint8_t *picture, int gain, light_reference *reference);

/* Return whether the picture that was last looked at is clearly more like the one before with this gain than without. */
int light_is_clear(const light_reference *reference, int gain);

/* Return the gain to show a picture with: a 128th closer to LIGHT_ONE. A light that stays switched on fades in. */
int light_shown(int gain);

/* Multiply a picture, rounded half up. `before` gives the least level of overexposed pixels that get darker: that of the
 * picture before; NULL for none. `out` may be the picture. */
void light_change(const uint8_t *picture, const uint8_t *before, int gain, uint8_t *out);

/* Remember the picture that was last looked at as it is shown, with this gain. */
void light_follow(int gain, light_reference *reference);

#endif
