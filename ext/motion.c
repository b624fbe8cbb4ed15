#include "motion.h"

#include "vectors.h"

#include <stdlib.h>

CLONED void motion_grey(const uint8_t *restrict rgb, size_t count, uint8_t *restrict grey)
{
    for (size_t i = 0; i < count; i++, rgb += 3)
        grey[i] = (uint8_t)((77 * rgb[0] + 150 * rgb[1] + 29 * rgb[2] + 128) >> 8);
}

void motion_bytes(const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count,
                  const uint8_t map[511], uint8_t *out)
{
    for (size_t i = 0; i < count; i++, out += 3) {
        const int step = now[i] - before[i];

        out[0] = map[step + 255];
        out[1] = map[now[i] - earlier[i] + 255];
        out[2] = map[abs(step) + 255];
    }
}

void motion_floats(const uint8_t *now, const uint8_t *before, const uint8_t *earlier, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++, out += 3) {
        const int step = now[i] - before[i];

        out[0] = (float)step / 255.0f;
        out[1] = (float)(now[i] - earlier[i]) / 255.0f;
        out[2] = (float)abs(step) / 255.0f;
    }
}
