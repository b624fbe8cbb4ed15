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
    const int32_t one = 1 << FRACTION_BITS;
    const int32_t common = (one << COEFFICIENT_BITS) / 2 - luma * (int32_t)yuv->black * one;

    return (fixed_yuv){
        .luma = luma,
        .red_v = red_v,
        .green_u = green_u,
        .green_v = green_v,
        .blue_u = blue_u,
        .red = common - red_v * 128 * one,
        .green = common - (green_u + green_v) * 128 * one,
        .blue = common - blue_u * 128 * one,
    };
}

INLINED int32_t level_of(int32_t fixed_level)
{
    const int32_t level = fixed_level >> (COEFFICIENT_BITS + FRACTION_BITS);

    return level < 0 ? 0 : level > 255 ? 255 : level;
}

#define DEFINE_LEVELS(NAME, SUM) \
    CLONED void NAME##_levels_of_rgb(const SUM *restrict sums, int count, double share, int32_t *restrict levels) \
    { \
        for (int i = 0; i < count; i++) \
            levels[i] = (int32_t)(sums[i] * share + HALF); \
    } \
 \
    INLINED void NAME##_colors(const SUM *restrict ys, const SUM *restrict us, const SUM *restrict vs, ptrdiff_t width, \
                               double luma, double chroma, fixed_yuv k, int32_t *restrict red, \
                               int32_t *restrict green, int32_t *restrict blue) \
    { \
        for (ptrdiff_t x = 0; x < width; x++) { \
            const int32_t y = (int32_t)(ys[x] * luma + HALF) * k.luma; \
            const int32_t u = (int32_t)(us[x] * chroma + HALF); \
            const int32_t v = (int32_t)(vs[x] * chroma + HALF); \
 \
            red[x] = level_of(y + k.red_v * v + k.red); \
            green[x] = level_of(y + k.green_u * u + k.green_v * v + k.green); \
            blue[x] = level_of(y + k.blue_u * u + k.blue); \
        } \
    } \
 \
    /* The three rows are passed one by one, because the compiler does not see that rows of one array are apart. */ \
    CLONED void NAME##_levels_of_yuv(const SUM *sums, int width, double luma_share, double chroma_share, \
                                     const fixed_yuv *yuv, int32_t *levels) \
    { \
        NAME##_colors(sums, sums + width, sums + 2 * width, width, luma_share * (1 << FRACTION_BITS), \
                      chroma_share * (1 << FRACTION_BITS), *yuv, levels, levels + width, levels + 2 * width); \
    }

DEFINE_LEVELS(narrow, int32_t)
DEFINE_LEVELS(wide, double)

level_map make_level_map(const uint8_t map[256])
{
    level_map made = {map, map[0]};

    for (int level = 0; level < 256; level++)
        if (map[level] != (level ^ map[0]))
            made.flip = -1;
    return made;
}

INLINED void flip_levels(const int32_t *levels, int width, const lanes *lanes, ptrdiff_t step, int flip,
                         uint8_t *restrict out)
{
    const int32_t *red = levels + lanes->channel[0], *green = levels + lanes->channel[1];
    const int32_t *blue = levels + lanes->channel[2];

    for (int x = 0; x < width; x++) {
        out[3 * x] = (uint8_t)(red[step * x] ^ flip);
        out[3 * x + 1] = (uint8_t)(green[step * x] ^ flip);
        out[3 * x + 2] = (uint8_t)(blue[step * x] ^ flip);
    }
}

CLONED void map_levels(const int32_t *levels, int width, const lanes *lanes, const level_map *map, uint8_t *out)
{
    const int32_t *red = levels + lanes->channel[0], *green = levels + lanes->channel[1];
    const int32_t *blue = levels + lanes->channel[2];
    const ptrdiff_t step = lanes->step;

    if (map->flip >= 0 && step == 1) {
        flip_levels(levels, width, lanes, 1, map->flip, out);
    } else if (map->flip >= 0 && step == 4) {
        flip_levels(levels, width, lanes, 4, map->flip, out);
    } else {
        for (int x = 0; x < width; x++, out += 3) {
            out[0] = map->of[red[step * x]];
            out[1] = map->of[green[step * x]];
            out[2] = map->of[blue[step * x]];
        }
    }
}

INLINED void weigh_levels(const int32_t *levels, int width, const lanes *lanes, ptrdiff_t step, uint8_t *restrict out)
{
    const int32_t *red = levels + lanes->channel[0], *green = levels + lanes->channel[1];
    const int32_t *blue = levels + lanes->channel[2];

    for (int x = 0; x < width; x++)
        out[x] = (uint8_t)((77 * red[step * x] + 150 * green[step * x] + 29 * blue[step * x] + 128) >> 8);
}

CLONED void greys_of_levels(const int32_t *levels, int width, const lanes *lanes, uint8_t *restrict out)
{
    if (lanes->step == 4) {
        weigh_levels(levels, width, lanes, 4, out);
    } else if (lanes->channel[0] == lanes->channel[1]) { /* grey itself: the weights sum to 1 */
        for (int x = 0; x < width; x++)
            out[x] = (uint8_t)levels[lanes->channel[0] + x];
    } else {
        weigh_levels(levels, width, lanes, 1, out);
    }
}

void floats_of_rgb(const double *sums, int width, const lanes *lanes, double share, const double gain[3],
                   const double bias[3], float *out)
{
    for (int c = 0; c < 3; c++)
        for (int x = 0; x < width; x++)
            out[3 * x + c] = (float)(sums[lanes->channel[c] + x * lanes->step] * share * gain[c] + bias[c]);
}

static double clipped(double level)
{
    return level < 0 ? 0 : level > 255 ? 255 : level;
}

void floats_of_yuv(const double *sums, int width, const lanes *lanes, double luma_share, double chroma_share,
                   const area_yuv *yuv, const double gain[3], const double bias[3], float *out)
{
    for (int x = 0; x < width; x++, out += 3) {
        const double y = (sums[x] * luma_share - yuv->black) * yuv->luma;
        const double u = sums[lanes->channel[1] + x] * chroma_share - 128;
        const double v = sums[lanes->channel[2] + x] * chroma_share - 128;

        out[0] = (float)(clipped(y + yuv->red_v * v) * gain[0] + bias[0]);
        out[1] = (float)(clipped(y + yuv->green_u * u + yuv->green_v * v) * gain[1] + bias[1]);
        out[2] = (float)(clipped(y + yuv->blue_u * u) * gain[2] + bias[2]);
    }
}
