/* Area-average resizing of packed 8-bit images to small RGB images, and the motion input made of them.
 *
 * Output pixel (y, x) of a dh x dw image is the mean of the sh x sw source over the rectangle
 * [y*sh/dh, (y+1)*sh/dh) x [x*sw/dw, (x+1)*sw/dw); a cell on its border counts by the exact share that lies inside.
 * Shrinking and enlarging follow the same rule. All sums are integers; there is one rounding, at the end.
 */
#ifndef EDGEHAR_AREA_H
#define EDGEHAR_AREA_H

#include <stddef.h>
#include <stdint.h>

enum {
    AREA_MIN_SOURCE = 8,  /* pixels, height and width of a source image */
    AREA_MAX_SIDE = 8192  /* pixels, height and width of any image; the integer widths in area.c rest on it */
};

/* Spans, weights and scratch rows of one geometry. A plan serves one thread at a time: the scratch rows are its own. */
typedef struct area_plan area_plan;

/* source_channels is 1 (grey) or 3. NULL when memory is short; sizes must lie within the limits above. */
area_plan *area_plan_create(int source_height, int source_width, int source_channels, int height, int width);
void area_plan_destroy(area_plan *plan);

/* One image, its first row at `pixels`, rows `row_stride` bytes apart (it may be negative), pixels adjacent.
 * `reversed` swaps the first and third channel (BGR in, RGB out); grey becomes R = G = B.
 * `out` holds height * width * 3 values. */

/* Each average is rounded half up to a level 0..255 and stored as map[level]. */
void area_shrink_bytes(area_plan *plan, const uint8_t *pixels, ptrdiff_t row_stride, int reversed,
                       const uint8_t map[256], uint8_t *out);

/* Each average is stored unrounded, divided by 255. */
void area_shrink_floats(area_plan *plan, const uint8_t *pixels, ptrdiff_t row_stride, int reversed, float *out);

/* Grey levels of `count` RGB pixels: (77 R + 150 G + 29 B + 128) >> 8, the BT.601 luma weights in 8 bits. */
void motion_grey(const uint8_t *rgb, size_t count, uint8_t *grey);

/* Three channels a pixel: now - before, now - earlier, |now - before|; d in -255..255 is stored as map[d + 255]. */
void motion_bytes(const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count,
                  const uint8_t map[511], uint8_t *out);

/* The same differences, divided by 255. */
void motion_floats(const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count, float *out);

#endif
