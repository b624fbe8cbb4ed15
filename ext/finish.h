/* Convert sums to output values: averages, colors, levels, quantized values. In a row of sums or levels, channel c of
 * pixel x is at channel[c] + x * step. */
#ifndef EDGEHAR_FINISH_H
#define EDGEHAR_FINISH_H

#include "area.h"

typedef struct {
    ptrdiff_t channel[3];
    ptrdiff_t step;
} lanes;

/* Coefficients times 2^13, for Y, U and V in 1/256 of a level; the constants hold black, grey chroma and rounding. */
typedef struct {
    int32_t luma, red_v, green_u, green_v, blue_u;
    int32_t red, green, blue;
} fixed_yuv;

fixed_yuv fixed_of(const area_yuv *yuv);

/* Output value of each level. Where it is level ^ flip (uint8, and int8 with the default scale and zero point), no
 * table is read. */
typedef struct {
    const uint8_t *of;
    int flip; /* or -1 */
} level_map;

level_map make_level_map(const uint8_t map[256]);

/* `count` sums times `share`, rounded half up. Wide sums are doubles, which represent these integers exactly. */
void narrow_levels_of_rgb(const int32_t *sums, int count, double share, int32_t *levels);
void wide_levels_of_rgb(const double *sums, int count, double share, int32_t *levels);

/* Three rows of `width` sums, of Y, U and V, to three rows of levels, of R, G and B. */
void narrow_levels_of_yuv(const int32_t *sums, int width, double luma_share, double chroma_share, const fixed_yuv *yuv,
                          int32_t *levels);
void wide_levels_of_yuv(const double *sums, int width, double luma_share, double chroma_share, const fixed_yuv *yuv,
                        int32_t *levels);

/* out[3 * x + c] = map[level]. */
void map_levels(const int32_t *levels, int width, const lanes *lanes, const level_map *map, uint8_t *out);

/* out[x] = grey level of the levels of R, G and B, (77 R + 150 G + 29 B + 128) >> 8. */
void greys_of_levels(const int32_t *levels, int width, const lanes *lanes, uint8_t *out);

/* Sums times the shares, not rounded, times gain plus bias. */
void floats_of_rgb(const double *sums, int width, const lanes *lanes, double share, const double gain[3],
                   const double bias[3], float *out);
void floats_of_yuv(const double *sums, int width, const lanes *lanes, double luma_share, double chroma_share,
                   const area_yuv *yuv, const double gain[3], const double bias[3], float *out);

#endif
