/* Learned form of the JSON objects of one source.
 *
 * WHY. Producers write the same members in the same order with the same spacing, object after
 * object. A shape is what lies between the values of one such object (`{"id":`, `,"name":` …), so
 * that the next object is checked by comparing those bytes and scanning only the values: every byte
 * is still checked, since equal bytes were checked when the shape was learned. An object that
 * differs takes the general way and may teach the next shape.
 *
 * Ownership: part of its codec. @thread the codec's
 */
#ifndef TN_CONNECTORS_JSON_SHAPE_H
#define TN_CONNECTORS_JSON_SHAPE_H

#include "connectors/json_scan.h"

#define TNI_SHAPE_MEMBERS_MAX 64
#define TNI_SHAPE_TEXT_MAX    32
#define TNI_SHAPE_LEARN_EVERY 16 /* misses between two tries to learn, once one is known */
#define TNI_SHAPE_REST_MAX    1024

struct tni_shape_member {
    char text[TNI_SHAPE_TEXT_MAX]; /* from behind the last value to this one, zero padded */
    uint32_t mask;                 /* bits of the bytes in use */
    uint8_t len;
    int16_t column; /* −1 = not read */
};

struct tni_json_shape {
    uint32_t count; /* 0 = none learned */
    uint32_t misses;
    struct tni_shape_member members[TNI_SHAPE_MEMBERS_MAX];
};

/* Do the bytes at p start with the member's text? Reads up to 32 bytes when they are there. */
static inline bool tni_shape_match(const struct tni_shape_member *member, const char *p,
                                   const char *end)
{
#if defined(__SSE2__)
    if (TN_LIKELY(end - p >= TNI_SHAPE_TEXT_MAX)) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)member->text);
        unsigned same = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(a, b));
        if (member->len > 16) {
            a = _mm_loadu_si128((const __m128i *)(const void *)(p + 16));
            b = _mm_loadu_si128((const __m128i *)(const void *)(member->text + 16));
            same |= (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) << 16;
        }
        return (same & member->mask) == member->mask;
    }
#endif
    return (size_t)(end - p) >= member->len && memcmp(p, member->text, member->len) == 0;
}

struct tni_json_codec;
/* Learn from a checked object that starts at `text` (its '{'). Leaves the shape alone when the
 * object is too long, has escapes in names or names one column twice. */
void tni_shape_learn(struct tni_json_codec *codec, struct tn_str text);

#endif
