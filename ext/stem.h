/* First block of the small CNNs in training: 3x3 convolution (same padding) of RGB to 16 channels, ReLU, 4x4 max pool. */
#ifndef EDGEHAR_STEM_H
#define EDGEHAR_STEM_H

#include <stddef.h>
#include <stdint.h>

enum { STEM_CHANNELS = 3, STEM_FILTERS = 16, STEM_POOL = 4 };

/* Return whether this processor can run the functions below (AVX2 and FMA). */
int stem_supported(void);

/* images: float (count, height, width, 3). kernel: (3, 3, 3, 16). bias: (16). height and width: multiples of 4.
   out: (count, height / 4, width / 4, 16). winner: same shape, place 0..15 of the maximum in its 4x4 cell, row by row,
   or -1 where ReLU gave 0. padded: room for stem_padded_floats() floats. */
void stem_forward(const float *images, ptrdiff_t count, ptrdiff_t height, ptrdiff_t width, const float *kernel,
                  const float *bias, float *padded, float *out, int8_t *winner);

/* Gradients of kernel and bias for the gradient of out. Only winners propagate a gradient, so 15 of 16 pixels are skipped. */
void stem_backward(const float *images, ptrdiff_t count, ptrdiff_t height, ptrdiff_t width, const float *gradient,
                   const int8_t *winner, float *padded, float *kernel_gradient, float *bias_gradient);

/* Floats of scratch for an image of this size. */
size_t stem_padded_floats(ptrdiff_t height, ptrdiff_t width);

#endif
