/* Hashes: murmur2 as Kafka's Java client computes it (partition of a key), a fast 64-bit hash for
 * tables in memory, and CRC-32C for what is stored. @thread any */
#ifndef TN_STREAM_BASE_HASH_H
#define TN_STREAM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "stream/base/str.h"

/* org.apache.kafka.common.utils.Utils.murmur2 (Kafka protocol guide): signed 32-bit result. */
int32_t tn_murmur2(const void *key, size_t len);
/* (murmur2 & 0x7fffffff) mod partitions: the Java client's DefaultPartitioner for a non-null key.
 */
int32_t tn_partition_of(const void *key, size_t len, int32_t partitions_count);
uint32_t tn_crc32c(uint32_t seed, const void *bytes, size_t len);

__extension__ typedef unsigned __int128 tn_uint128;

static inline uint64_t tn_mix64(uint64_t a, uint64_t b)
{
    tn_uint128 m = (tn_uint128)(a ^ 0x9E3779B97F4A7C15ull) * (b ^ 0xD6E8FEB86659FD93ull);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Not stable across releases: never stored, never used to order output. */
static inline uint64_t tn_hash64(const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    uint64_t h = 0x2545F4914F6CDD1Dull ^ len, w;
    while (len >= 16) {
        uint64_t a, b;
        memcpy(&a, p, 8);
        memcpy(&b, p + 8, 8);
        h = tn_mix64(h ^ a, b);
        p += 16;
        len -= 16;
    }
    if (len >= 8) {
        memcpy(&w, p, 8);
        h = tn_mix64(h, w);
        p += 8;
        len -= 8;
    }
    w = 0;
    if (len)
        memcpy(&w, p, len);
    return tn_mix64(h ^ w, 0xA0761D6478BD642Full + len);
}

/* The same for texts, most of which are short. */
static inline uint64_t tn_hash_text(struct tn_str text)
{
    if (text.len <= TN_STR_SHORT)
        return tn_mix64(tn_str_short(text), 0xA0761D6478BD642Full + text.len);
    return tn_hash64(text.ptr, text.len) >> 16;
}

#endif
