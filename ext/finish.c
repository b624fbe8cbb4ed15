#include "finish.h"

#include "vectors.h"

#include <math.h>

enum { COEFFICIENT_BITS = 13, FRACTION_BITS = 8 };

/* A rounded quotient sum / area is floor(sum / area + 1/2). That number is whole or at least 1 / (2 * area) >= 2^-27
 * from a whole one, and as computed here in doubles it is less than 2^-35 off (below 2^16, in 1/256 of a level), so
 * adding 2^-30 before cutting off gives the exact floor. */
static const double HALF = 0.5 + 0x1p-30;

area_yuv area_yuv_matrix(double red_weight, double blue_weight, int full_range)
{
    const double green_weight = 1 - red_weight - blue_weight;
    const double luma = full_range ? 1.0 : 255.0 / 219, chroma = full_range ? 1.0 : 255.0 / 224;
    const double red = 2 * (1 - red_weight) * chroma, blue = 2 * (1 - blue_weight) * chroma;

    return (area_yuv){
        .black = full_range ? 0 : 16,
        .luma = luma,
        .red_v = red,
        .green_u = -blue * blue_weight / green_weight,
        .green_v = -red * red_weight / green_weight,
        .blue_u = blue,
    };
}

static int32_t fixed(double coefficient)
{
    return (int32_t)floor(coefficient * (1 << COEFFICIENT_BITS) + 0.5);
}

fixed_yuv fixed_of(const area_yuv *yuv)
{
    const int32_t luma = fixed(yuv->luma), red_v = fixed(yuv->red_v), green_u = fixed(yuv->green_u);
    const int32_t green_v = fixed(yuv->green_v), blue_u = fixed(yuv->blue_u);
    fixed_yuv f = {
        .of_y = {luma, luma, luma, 0},
        .of_u = {0, green_u, blue_u, 0},
        .of_v = {red_v, green_v, 0, 0},
    };

    for (int c = 0; c < 3; c++)
        f.constant[c] = (1 << (COEFFICIENT_BITS + FRACTION_BITS - 1))
                        - (f.of_y[c] * (int32_t)yuv->black + (f.of_u[c] + f.of_v[c]) * 128) * (1 << FRACTION_BITS);
    return f;
}

CLONED void levels_of_rgb(const double *boxes, int width, const double share[4], int32_t *levels)
{
    const doubles4 shares = load_doubles4(share);

    for (int x = 0; x < width; x++)
        store_ints4(levels + 4 * x, __builtin_convertvector(load_doubles4(boxes + 4 * x) * shares + HALF, ints4));
}

CLONED void levels_of_yuv(const double *boxes, int width, const double share[4], const fixed_yuv *yuv, int32_t *levels)
{
    const doubles4 shares = load_doubles4(share) * (double)(1 << FRACTION_BITS);
    const ints4 of_y = load_ints4(yuv->of_y), of_u = load_ints4(yuv->of_u), of_v = load_ints4(yuv->of_v);
    const ints4 constant = load_ints4(yuv->constant);

    for (int x = 0; x < width; x++) {
        const ints4 average = __builtin_convertvector(load_doubles4(boxes + 4 * x) * shares + HALF, ints4);
        ints4 rgb = (of_y * average[0] + of_u * average[1] + of_v * average[2] + constant)
                    >> (COEFFICIENT_BITS + FRACTION_BITS);
        rgb &= ~(rgb < 0);
        rgb = (rgb | (rgb > 255)) & 255;
        store_ints4(levels + 4 * x, rgb);
    }
}

void map_levels(const int32_t *levels, int width, channel_order order, const uint8_t map[256], uint8_t *out)
{
    const int32_t *red = levels + order.lane[0], *green = levels + order.lane[1], *blue = levels + order.lane[2];

    for (int x = 0; x < 4 * width; x += 4, out += 3) {
        out[0] = map[red[x]];
        out[1] = map[green[x]];
        out[2] = map[blue[x]];
    }
}

void floats_of_rgb(const double *boxes, int width, const double share[4], channel_order order, const double gain[3],
                   const double bias[3], float *out)
{
    for (int x = 0; x < width; x++, boxes += 4, out += 3)
        for (int c = 0; c < 3; c++)
            out[c] = (float)(boxes[order.lane[c]] * share[order.lane[c]] * gain[c] + bias[c]);
}

static double clipped(double level)
{
    return level < 0 ? 0 : level > 255 ? 255 : level;
}

void floats_of_yuv(const double *boxes, int width, const double share[4], const area_yuv *yuv, const double gain[3],
                   const double bias[3], float *out)
{
    for (int x = 0; x < width; x++, boxes += 4, out += 3) {
        const double y = (boxes[0] * share[0] - yuv->black) * yuv->luma;
        const double u = boxes[1] * share[1] - 128, v = boxes[2] * share[2] - 128;

        out[0] = (float)(clipped(y + yuv->red_v * v) * gain[0] + bias[0]);
        out[1] = (float)(clipped(y + yuv->green_u * u + yuv->green_v * v) * gain[1] + bias[1]);
        out[2] = (float)(clipped(y + yuv->blue_u * u) * gain[2] + bias[2]);
    }
}
