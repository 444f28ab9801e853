/* murmur2 written from the description in the Kafka protocol (seed 0x9747b28c, m 0x5bd1e995, r 24),
 * CRC-32C (Castagnoli, RFC 3720) by the SSE4.2 instruction where the machine has it. */
#include "stream/base/hash.h"

#include <stdbool.h>

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

uint32_t tn_crc32c(uint32_t seed, const void *bytes, size_t len)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_sse(~seed, bytes, len);
#endif
    return ~crc32c_soft(~seed, bytes, len);
}
