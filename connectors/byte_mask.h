/* Bitmaps of special bytes: which of 64 bytes are one of three. The inner loop of text readers.
 *
 * Portable C with SSE2 where the machine has it. A function compiled for AVX2 (TNI_TARGET_AVX2) and
 * chosen at run time by tni_has_avx2 uses the same code: the compiler joins the halves.
 * @thread any
 */
#ifndef TN_CONNECTORS_BYTE_MASK_H
#define TN_CONNECTORS_BYTE_MASK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define TNI_MASK_BYTES 64

#if defined(__x86_64__)
#define TNI_TARGET_AVX2 __attribute__((target("avx2,bmi,lzcnt,popcnt")))
static inline bool tni_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
}
#else
#define TNI_TARGET_AVX2
static inline bool tni_has_avx2(void)
{
    return false;
}
#endif

/* Bit i: p[i] is a, b or c. Reads 64 bytes. *wide |= bits of bytes ≥ 0x80. */
static inline uint64_t tni_mask3(const char *p, char a, char b, char c, uint64_t *wide)
{
    uint64_t mask = 0;
#if defined(__SSE2__)
    const __m128i va = _mm_set1_epi8(a), vb = _mm_set1_epi8(b), vc = _mm_set1_epi8(c);
    for (int i = 0; i < 4; i++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, va), _mm_cmpeq_epi8(v, vb)),
                                   _mm_cmpeq_epi8(v, vc));
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(hit) << (16 * i);
        *wide |= (uint64_t)(uint32_t)_mm_movemask_epi8(v) << (16 * i);
    }
#else
    for (int i = 0; i < TNI_MASK_BYTES; i++) {
        mask |= (uint64_t)(p[i] == a || p[i] == b || p[i] == c) << i;
        *wide |= (uint64_t)((unsigned char)p[i] >> 7) << i;
    }
#endif
    return mask;
}

#endif
