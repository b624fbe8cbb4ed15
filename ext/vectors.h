/* Vector types of GCC and Clang, which compile to SSE, AVX and NEON, and the attributes that select the instruction set. */
#ifndef EDGEHAR_VECTORS_H
#define EDGEHAR_VECTORS_H

#include <stdint.h>
#include <string.h>

/* Vectors wider than the baseline's registers never leave an inlined function, so their calling convention is irrelevant. */
#pragma GCC diagnostic ignored "-Wpsabi"

/* On x86-64 with glibc the loader selects the copy for the processor. Every arm64 has NEON. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(AREA_NO_CLONES)
#define CLONED __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define CLONED
#endif
#define INLINED static inline __attribute__((always_inline))

typedef uint16_t words8 __attribute__((vector_size(16)));
typedef uint16_t words16 __attribute__((vector_size(32)));
typedef int32_t ints4 __attribute__((vector_size(16)));
typedef uint32_t uints4 __attribute__((vector_size(16)));

/* Select lanes from two vectors, numbered consecutively. */
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLED8(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define SHUFFLED4(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define SHUFFLED16(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLED8(a, b, ...) __builtin_shuffle(a, b, (words8){__VA_ARGS__})
#define SHUFFLED4(a, b, ...) __builtin_shuffle(a, b, (ints4){__VA_ARGS__})
#define SHUFFLED16(a, b, ...) __builtin_shuffle(a, b, (words16){__VA_ARGS__})
#endif

/* Unaligned loads and stores; memcpy compiles to one instruction. */
#define DEFINE_ACCESS(TYPE) \
    INLINED TYPE load_##TYPE(const void *from) \
    { \
        TYPE v; \
        memcpy(&v, from, sizeof v); \
        return v; \
    } \
    INLINED void store_##TYPE(void *to, TYPE v) \
    { \
        memcpy(to, &v, sizeof v); \
    }

DEFINE_ACCESS(words8)
DEFINE_ACCESS(words16)
DEFINE_ACCESS(ints4)

#endif
