/* Area-average resizing of 8-bit images to small RGB images.
 *
 * Output pixel (y, x) of a height x width image is the mean of a region of the source over the rectangle
 * [y*H/height, (y+1)*H/height) x [x*W/width, (x+1)*W/width) of that region, H x W; a cell on its border counts by the
 * exact share that lies inside. Shrinking and enlarging follow the same rule. All sums are integers; there is one
 * rounding, at the end. Chroma samples are cells as large as the luma cells they belong to, averaged at their own size
 * over the same rectangle; colours are converted after that.
 */
#ifndef EDGEHAR_AREA_H
#define EDGEHAR_AREA_H

#include <stddef.h>
#include <stdint.h>

enum {
    AREA_MIN_SOURCE = 8,  /* pixels, height and width of a source image */
    AREA_MAX_SIDE = 8192  /* pixels, height and width of any image; the integer widths in area.c rest on it */
};

/* How samples lie in memory. Chroma planes of the 4:2:0 layouts have (height + 1) / 2 rows of (width + 1) / 2 samples. */
typedef enum {
    AREA_GREY,   /* one plane, one byte a pixel */
    AREA_THREE,  /* one plane, three bytes a pixel */
    AREA_FOUR,   /* one plane, four bytes a pixel, of which the last is not used */
    AREA_I420,   /* planes Y, U, V */
    AREA_NV12,   /* planes Y, UV */
    AREA_YUYV    /* one plane, Y U Y V; the width is even */
} area_layout;

typedef struct {
    area_layout layout;
    int source_height, source_width;
    int top, left, region_height, region_width; /* the region, inside the source, in pixels, not empty */
    int height, width;                          /* of the output */
} area_geometry;

/* One image: the first row of each plane and the bytes from one row to the next, which may be negative. */
typedef struct {
    const uint8_t *planes[3];
    ptrdiff_t strides[3];
} area_image;

/* R = luma * (Y - black) + red_v * (V - 128), G = ... + green_u * (U - 128) + green_v * (V - 128),
 * B = ... + blue_u * (U - 128), levels 0..255, from the luma weights of red and blue (ITU-R BT.601, BT.709). */
typedef struct {
    double black, luma, red_v, green_u, green_v, blue_u;
} area_yuv;

area_yuv area_yuv_matrix(double red_weight, double blue_weight, int full_range);

/* Spans, weights and scratch rows of one geometry. A plan serves one thread at a time: the scratch rows are its own. */
typedef struct area_plan area_plan;

/* NULL when memory is short; the geometry must keep the limits above. */
area_plan *area_plan_create(const area_geometry *geometry);
void area_plan_destroy(area_plan *plan);

/* How averages are stored: `height` rows of `width` RGB values, `row_stride` values apart.
 * `reversed` swaps the first and third channel of AREA_THREE and AREA_FOUR (BGR in, RGB out); grey becomes R = G = B;
 * `yuv` is used for the last three layouts only. */
typedef struct {
    int reversed;
    area_yuv yuv;
    ptrdiff_t row_stride;
} area_output;

/* Each average is rounded half up to a level 0..255 and stored as map[level]. Those of the YUV layouts are rounded half
 * up to 1/256 of a level, converted with coefficients rounded to 2^-13, and then rounded half up and clipped to 0..255. */
void area_shrink_bytes(area_plan *plan, const area_image *image, const area_output *output, const uint8_t map[256],
                       uint8_t *out);

/* Each average, unrounded and (YUV) clipped to 0..255, is stored as average * gain[c] + bias[c]. */
void area_shrink_floats(area_plan *plan, const area_image *image, const area_output *output, const double gain[3],
                        const double bias[3], float *out);

#endif
