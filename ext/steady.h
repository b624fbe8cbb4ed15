/* Base pictures of a camera that stands still in steady light: what shake moved and what a change of light made darker or
 * brighter is undone. */
#ifndef EDGEHAR_STEADY_H
#define EDGEHAR_STEADY_H

#include "light.h"
#include "shake.h"

#include <stdint.h>

typedef struct {
    int undoes_shake, undoes_light; /* options */
    int started; /* 0 if the next picture is the first one */
    int right, down; /* how far the last picture was from where it is shown, in eighths of a pixel */
    int gain; /* that the last picture was multiplied by, in parts of LIGHT_ONE */
    shake_reference shake;
    light_reference light;
    uint8_t lit[LOOKS_HEIGHT * LOOKS_WIDTH], moved[LOOKS_HEIGHT * LOOKS_WIDTH];
} steady_state;

/* Set the options; the next picture is the first one. */
void steady_start(steady_state *state, int undoes_shake, int undoes_light);

/* Make the next base picture steady. `before` is the one before as it was made; `open` is that of `looks_mask`, NULL for
 * no mask. A steady picture stays as it is, to the byte. */
void steady_take(uint8_t *base, const uint8_t *before, const uint8_t *open, steady_state *state);

#endif
