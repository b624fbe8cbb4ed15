/* One axis of a resize: the source cells under each output cell, with exact rational weights. */
#ifndef EDGEHAR_AXIS_H
#define EDGEHAR_AXIS_H

#include <stdint.h>

/* Source cells under one output cell: cells [begin, begin + count) wholly, cell begin - 1 by `head` and cell
 * begin + count by `tail`, in units of 1/cell of a source cell; 0 means no such cell. */
typedef struct {
    int32_t begin, count;
    uint32_t head, tail;
} span;

/* A source cell is `cell` units long and an output cell `length` units. These are the smallest numbers with which all
 * weights are integers. */
typedef struct {
    uint32_t length, cell;
    int targets;
    int even;          /* source cells of every output cell, if all are whole and there are equally many; else 0 */
    span *spans;
    int chunks;        /* of eight weights an output cell, ... */
    uint16_t *weights; /* ... from source cell begin - 1 on; NULL unless asked for */
} axis;

/* Lay `targets` output cells over the source from `start` on, `extent` long, where each source cell is `pitch` long
 * (1 for pixels, 2 for chroma samples that serve two pixels). Returns -1 if memory is short. */
int axis_init(axis *axis, int start, int extent, int pitch, int targets);

enum { AXIS_GROUP = 4 }; /* spans and weights are padded to whole groups of output cells; the weights with zeros */

/* Write out the weights one by one, each `channels` times, for interleaved channels. A chunk holds the weights of
 * 8 / channels source cells. Returns -1 if memory is short. */
int axis_write_weights(axis *axis, int channels);
void axis_free(axis *axis);

#endif
