/* Vector types of GCC and Clang, which compile to SSE, AVX and NEON alike, and how the compiler is told to use them. */
#ifndef EDGEHAR_VECTORS_H
#define EDGEHAR_VECTORS_H

#include <stdint.h>
#include <string.h>

/* Vectors wider than the baseline's registers never leave an inlined function, so their calling convention is no matter. */
#pragma GCC diagnostic ignored "-Wpsabi"

/* On x86-64 with glibc the loader picks the copy that suits the processor; NEON is part of every arm64. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(AREA_NO_CLONES)
#define CLONED __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define CLONED
#endif
#define INLINED static inline __attribute__((always_inline))

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint16_t words4 __attribute__((vector_size(8)));
typedef uint16_t words8 __attribute__((vector_size(16)));
typedef uint16_t words16 __attribute__((vector_size(32)));
typedef int32_t ints4 __attribute__((vector_size(16)));
typedef double doubles4 __attribute__((vector_size(32)));

/* Unaligned loads and stores; memcpy compiles to one instruction. */
#define DEFINE_ACCESS(TYPE, OF) \
    INLINED TYPE load_##TYPE(const OF *from) \
    { \
        TYPE v; \
        memcpy(&v, from, sizeof v); \
        return v; \
    } \
    INLINED void store_##TYPE(OF *to, TYPE v) \
    { \
        memcpy(to, &v, sizeof v); \
    }

DEFINE_ACCESS(bytes16, uint8_t)
DEFINE_ACCESS(words4, uint16_t)
DEFINE_ACCESS(words8, uint16_t)
DEFINE_ACCESS(words16, uint16_t)
DEFINE_ACCESS(ints4, int32_t)
DEFINE_ACCESS(doubles4, double)

#endif
