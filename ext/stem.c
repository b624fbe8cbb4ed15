#include "stem.h"

#include <string.h>

/* Loads of eight floats may read past the nine of a row of taps. */
enum { TAPS = 9, LANES = 8, SLACK = 8 };

size_t stem_padded_floats(ptrdiff_t height, ptrdiff_t width) {
    return (size_t)((height + 2) * (width + 2) * STEM_CHANNELS + SLACK);
}

#if defined(__x86_64__) && defined(__GNUC__)

#define FAST __attribute__((target("avx2,fma")))

typedef float floats __attribute__((vector_size(32), aligned(4)));
typedef int32_t ints __attribute__((vector_size(32), aligned(4)));

int stem_supported(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* Copy an image into the middle of a frame of zeros, whose border is never written. */
static void pad(const float *image, ptrdiff_t height, ptrdiff_t width, float *padded) {
    const ptrdiff_t row = width * STEM_CHANNELS, stride = row + 2 * STEM_CHANNELS;
    for (ptrdiff_t y = 0; y < height; y++) {
        memcpy(padded + (y + 1) * stride + STEM_CHANNELS, image + y * row, sizeof(float) * (size_t)row);
    }
}

/* Four neighboring pixels of the convolution, 16 channels each. */
FAST static inline void convolve(const float *base, ptrdiff_t stride, const float *kernel, const float *bias,
                                 floats low[STEM_POOL], floats high[STEM_POOL]) {
    for (int i = 0; i < STEM_POOL; i++) {
        low[i] = *(const floats *)bias;
        high[i] = *(const floats *)(bias + LANES);
    }
    for (int ky = 0; ky < 3; ky++) {
        for (int tap = 0; tap < TAPS; tap++) {
            const float *weights = kernel + (ky * TAPS + tap) * STEM_FILTERS;
            const floats w_low = *(const floats *)weights, w_high = *(const floats *)(weights + LANES);
            for (int i = 0; i < STEM_POOL; i++) {
                const float value = base[ky * stride + i * STEM_CHANNELS + tap];
                low[i] += w_low * value;
                high[i] += w_high * value;
            }
        }
    }
}

/* Keep the greater of `best` and `value` in each lane, and its place. The first of equals stays, as in TensorFlow; what is
   no number stays too, so that a training that has failed shows it. */
FAST static inline void keep_greater(floats *best, ints *winner, floats value, int place) {
    const ints greater = (value > *best) | (value != value);
    *winner = (greater & place) | (~greater & *winner);
    *best = (floats)((greater & (ints)value) | (~greater & (ints)*best));
}

/* Starting from 0 with place -1 is the ReLU. */
FAST static void cell_forward(const float *base, ptrdiff_t stride, const float *kernel, const float *bias, float *out,
                              int8_t *winner) {
    floats best_low = {0}, best_high = {0}, low[STEM_POOL], high[STEM_POOL];
    ints at_low = best_low == best_low, at_high = at_low;
    for (int dy = 0; dy < STEM_POOL; dy++) {
        convolve(base + dy * stride, stride, kernel, bias, low, high);
        for (int i = 0; i < STEM_POOL; i++) {
            keep_greater(&best_low, &at_low, low[i], dy * STEM_POOL + i);
            keep_greater(&best_high, &at_high, high[i], dy * STEM_POOL + i);
        }
    }
    *(floats *)out = best_low;
    *(floats *)(out + LANES) = best_high;
    for (int lane = 0; lane < LANES; lane++) {
        winner[lane] = (int8_t)at_low[lane];
        winner[LANES + lane] = (int8_t)at_high[lane];
    }
}

FAST void stem_forward(const float *images, ptrdiff_t count, ptrdiff_t height, ptrdiff_t width, const float *kernel,
                       const float *bias, float *padded, float *out, int8_t *winner) {
    const ptrdiff_t stride = (width + 2) * STEM_CHANNELS, step = STEM_POOL * STEM_CHANNELS;
    memset(padded, 0, sizeof(float) * stem_padded_floats(height, width));
    for (ptrdiff_t image = 0; image < count; image++) {
        pad(images + image * height * width * STEM_CHANNELS, height, width, padded);
        for (ptrdiff_t y = 0; y < height / STEM_POOL; y++) {
            for (ptrdiff_t x = 0; x < width / STEM_POOL; x++) {
                cell_forward(padded + y * STEM_POOL * stride + x * step, stride, kernel, bias, out, winner);
                out += STEM_FILTERS;
                winner += STEM_FILTERS;
            }
        }
    }
}

/* sums: per filter and kernel row, nine taps and three unused lanes. */
FAST static void cell_backward(const float *base, ptrdiff_t stride, const float *gradient, const int8_t *winner,
                               float sums[STEM_FILTERS][3][12], float *bias_gradient) {
    typedef float quad __attribute__((vector_size(16), aligned(4)));
    for (int filter = 0; filter < STEM_FILTERS; filter++) {
        const int place = winner[filter];
        if (place < 0) {
            continue;
        }
        const float value = gradient[filter];
        const float *taps = base + (place / STEM_POOL) * stride + (place % STEM_POOL) * STEM_CHANNELS;
        bias_gradient[filter] += value;
        for (int ky = 0; ky < 3; ky++, taps += stride) {
            *(floats *)sums[filter][ky] += value * *(const floats *)taps;
            *(quad *)(sums[filter][ky] + LANES) += value * *(const quad *)(taps + LANES);
        }
    }
}

FAST void stem_backward(const float *images, ptrdiff_t count, ptrdiff_t height, ptrdiff_t width, const float *gradient,
                        const int8_t *winner, float *padded, float *kernel_gradient, float *bias_gradient) {
    const ptrdiff_t stride = (width + 2) * STEM_CHANNELS, step = STEM_POOL * STEM_CHANNELS;
    float sums[STEM_FILTERS][3][12] = {0};
    memset(padded, 0, sizeof(float) * stem_padded_floats(height, width));
    memset(bias_gradient, 0, sizeof(float) * STEM_FILTERS);
    for (ptrdiff_t image = 0; image < count; image++) {
        pad(images + image * height * width * STEM_CHANNELS, height, width, padded);
        for (ptrdiff_t y = 0; y < height / STEM_POOL; y++) {
            for (ptrdiff_t x = 0; x < width / STEM_POOL; x++) {
                const float *base = padded + y * STEM_POOL * stride + x * step;
                cell_backward(base, stride, gradient, winner, sums, bias_gradient);
                gradient += STEM_FILTERS;
                winner += STEM_FILTERS;
            }
        }
    }
    for (int filter = 0; filter < STEM_FILTERS; filter++) {
        for (int row = 0; row < 3; row++) {
            for (int tap = 0; tap < TAPS; tap++) {
                kernel_gradient[(row * TAPS + tap) * STEM_FILTERS + filter] = sums[filter][row][tap];
            }
        }
    }
}

#else

int stem_supported(void) { return 0; }

void stem_forward(const float *images, ptrdiff_t count, ptrdiff_t height, ptrdiff_t width, const float *kernel,
                  const float *bias, float *padded, float *out, int8_t *winner) {
    (void)images, (void)count, (void)height, (void)width, (void)kernel, (void)bias, (void)padded, (void)out, (void)winner;
}

void stem_backward(const float *images, ptrdiff_t count, ptrdiff_t height, ptrdiff_t width, const float *gradient,
                   const int8_t *winner, float *padded, float *kernel_gradient, float *bias_gradient) {
    (void)images, (void)count, (void)height, (void)width, (void)gradient, (void)winner, (void)padded;
    (void)kernel_gradient, (void)bias_gradient;
}

#endif
