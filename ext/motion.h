/* The motion input: differences of the grey levels of small RGB images. */
#ifndef EDGEHAR_MOTION_H
#define EDGEHAR_MOTION_H

#include <stddef.h>
#include <stdint.h>

/* Grey levels of `count` RGB pixels: (77 R + 150 G + 29 B + 128) >> 8, the BT.601 luma weights in 8 bits. */
void motion_grey(const uint8_t *rgb, size_t count, uint8_t *grey);

/* Three channels a pixel: now - before, now - earlier, |now - before|; d in -255..255 is stored as map[d + 255]. */
void motion_bytes(const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count,
                  const uint8_t map[511], uint8_t *out);

/* The same differences, divided by 255. */
void motion_floats(const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count, float *out);

#endif
