/* From sums to what is stored: averages, colours, levels, and the values that stand for them. */
#ifndef EDGEHAR_FINISH_H
#define EDGEHAR_FINISH_H

#include "area.h"

/* The lane of each of R, G and B. */
typedef struct {
    int lane[3];
} channel_order;

/* Coefficients times 2^13; Y, U and V come in 1/256 of a level. By lane: what R, G and B get of Y, of U and of V, and
 * of black, grey chroma and rounding. */
typedef struct {
    int32_t of_y[4], of_u[4], of_v[4], constant[4];
} fixed_yuv;

fixed_yuv fixed_of(const area_yuv *yuv);

/* Sums (four lanes a pixel) times `share`, rounded half up. */
void levels_of_rgb(const double *boxes, int width, const double share[4], int32_t *levels);
void levels_of_yuv(const double *boxes, int width, const double share[4], const fixed_yuv *yuv, int32_t *levels);

/* out[3 * x + c] = map[level of lane c of pixel x]. */
void map_levels(const int32_t *levels, int width, channel_order order, const uint8_t map[256], uint8_t *out);

/* Sums times `share`, not rounded, times gain plus bias. */
void floats_of_rgb(const double *boxes, int width, const double share[4], channel_order order, const double gain[3],
                   const double bias[3], float *out);
void floats_of_yuv(const double *boxes, int width, const double share[4], const area_yuv *yuv, const double gain[3],
                   const double bias[3], float *out);

#endif
