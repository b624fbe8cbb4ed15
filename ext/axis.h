/* One axis of a resize: which source cells lie under which output cell, with exact rational weights. */
#ifndef EDGEHAR_AXIS_H
#define EDGEHAR_AXIS_H

#include <stdint.h>

/* Source cells under one output cell: cells [begin, begin + count) wholly, cell begin - 1 by `head` and cell
 * begin + count by `tail`, in units of 1/cell of a source cell; 0 means there is no such cell. */
typedef struct {
    int32_t begin, count;
    uint32_t head, tail;
} span;

/* With a source cell `cell` units long every output cell is `length` units long and all weights are integers: the
 * least such numbers. */
typedef struct {
    uint32_t length, cell;
    int targets;
    span *spans;
    int chunks;        /* of eight weights an output cell, ... */
    uint16_t *weights; /* ... from source cell begin - 1 on; NULL unless asked for */
} axis;

/* Lays `targets` output cells over the source from `start` on, `extent` long, where each source cell is `pitch` long
 * (1 for pixels, 2 for chroma samples that serve two pixels). -1 when memory is short. */
int axis_init(axis *axis, int start, int extent, int pitch, int targets);

enum { AXIS_GROUP = 4 }; /* spans and weights are padded to whole groups of output cells; the weights with zeros */

/* Writes the weights out one by one, each `channels` times, for channels that lie side by side; a chunk has those of
 * 8 / channels source cells. -1 when memory is short. */
int axis_write_weights(axis *axis, int channels);
void axis_free(axis *axis);

#endif
