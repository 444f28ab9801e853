/* murmur2 written from the description in the Kafka protocol (seed 0x9747b28c, m 0x5bd1e995, r 24),
 * CRC-32C (Castagnoli, RFC 3720) by the SSE4.2 instruction where the machine has it. */
#include "stream/base/hash.h"

#include <stdbool.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

int32_t tn_murmur2(const void *key, size_t len)
{
    const uint32_t m = 0x5bd1e995u;
    const unsigned char *p = key;
    uint32_t h = 0x9747b28cu ^ (uint32_t)len;
    for (; len >= 4; len -= 4, p += 4) {
        uint32_t k =
            (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
    }
    if (len >= 3)
        h ^= (uint32_t)p[2] << 16;
    if (len >= 2)
        h ^= (uint32_t)p[1] << 8;
    if (len >= 1) {
        h ^= p[0];
        h *= m;
    }
    h ^= h >> 13;
    h *= m;
    h ^= h >> 15;
    return (int32_t)h;
}

int32_t tn_partition_of(const void *key, size_t len, int32_t partitions_count)
{
    return (tn_murmur2(key, len) & 0x7fffffff) % partitions_count;
}

static uint32_t crc32c_soft(uint32_t crc, const unsigned char *p, size_t len)
{
    for (; len; len--) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82F63B78u & (0u - (crc & 1u)));
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(uint32_t crc, const unsigned char *p,
                                                             size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        wide = __builtin_ia32_crc32di(wide, w);
    }
    crc = (uint32_t)wide;
    for (; len; len--)
        crc = __builtin_ia32_crc32qi(crc, *p++);
    return crc;
}
#endif

#if defined(__x86_64__)
/* The instruction takes three cycles but starts one a cycle: three sums side by side, of BLOCK
 * bytes each. The sum of what is followed by n bytes is moved on by multiplying with x^(8n − 33)
 * mod P. */
#define BLOCK       512
#define SHIFT_BLOCK 0xdd7e3b0c
#define SHIFT_TWO   0x170076fa

__attribute__((target("sse4.2,pclmul"))) static uint64_t shift(uint64_t crc, uint32_t factor)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc),
                                           _mm_cvtsi64_si128((int64_t)factor), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_long(uint32_t crc,
                                                                     const unsigned char *p,
                                                                     size_t len)
{
    uint64_t a = crc;
    for (; len >= 3 * BLOCK; len -= 3 * BLOCK, p += 3 * BLOCK) {
        uint64_t b = 0, c = 0, w[3];
        for (size_t i = 0; i < BLOCK; i += 8) {
            memcpy(&w[0], p + i, 8);
            memcpy(&w[1], p + i + BLOCK, 8);
            memcpy(&w[2], p + i + 2 * (size_t)BLOCK, 8);
            a = _mm_crc32_u64(a, w[0]);
            b = _mm_crc32_u64(b, w[1]);
            c = _mm_crc32_u64(c, w[2]);
        }
        a = shift(a, SHIFT_TWO) ^ shift(b, SHIFT_BLOCK) ^ c;
    }
    return crc32c_sse((uint32_t)a, p, len);
}
#endif

uint32_t tn_crc32c(uint32_t seed, const void *bytes, size_t len)
{
#if defined(__x86_64__)
    if (len >= 3 * BLOCK && __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        return ~crc32c_long(~seed, bytes, len);
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_sse(~seed, bytes, len);
#endif
    return ~crc32c_soft(~seed, bytes, len);
}
