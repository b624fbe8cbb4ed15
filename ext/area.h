/* Area-average resizing of 8-bit images to small RGB images.
 *
 * Output pixel (y, x) of a height x width image is the mean of a source region of H x W pixels over the rectangle
 * [y*H/height, (y+1)*H/height) x [x*W/width, (x+1)*W/width). A source cell on the border counts by the exact share
 * inside the rectangle. Shrinking and enlarging use the same rule. All sums are integers, rounded once, at the end.
 * A chroma sample is a cell as large as the luma cells it covers. Chroma is averaged at its own size over the same
 * rectangle, and colors are converted afterwards.
 */
#ifndef EDGEHAR_AREA_H
#define EDGEHAR_AREA_H

#include <stddef.h>
#include <stdint.h>

enum {
    AREA_MIN_SOURCE = 8,  /* pixels, height and width of a source image */
    AREA_MAX_SIDE = 8192  /* pixels, height and width of any image; the integer widths in area.c depend on it */
};

/* Memory layout of the samples. Chroma planes of the 4:2:0 layouts have (height + 1) / 2 rows of (width + 1) / 2 samples. */
typedef enum {
    AREA_GREY,   /* one plane, one byte a pixel */
    AREA_THREE,  /* one plane, three bytes a pixel */
    AREA_FOUR,   /* one plane, four bytes a pixel, the last one unused */
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

/* Spans, weights and scratch rows of one geometry. Use a plan from one thread at a time, because it owns the scratch rows. */
typedef struct area_plan area_plan;

/* Returns NULL if memory is short. The geometry must respect the limits above. */
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

/* The grey level, (77 R + 150 G + 29 B + 128) >> 8, of each pixel whose levels area_shrink_bytes stores; a row has
 * `width` of them. */
void area_shrink_greys(area_plan *plan, const area_image *image, const area_output *output, uint8_t *out);

/* Each average, unrounded and (YUV) clipped to 0..255, is stored as average * gain[c] + bias[c]. */
void area_shrink_floats(area_plan *plan, const area_image *image, const area_output *output, const double gain[3],
                        const double bias[3], float *out);

#endif
