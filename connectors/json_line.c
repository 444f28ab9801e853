/* The quick check of one line of NDJSON: strings 16 bytes at a time without looking for the end of
 * the input in between, brackets as bits of a word.
 *
 * It only ever says yes to what tn_json_check accepts too, and NULL means "ask that one": what is
 * refused, deeper than 64, or within the last bytes of the input, where 16 cannot be read. So
 * errors, positions and limits have one place, the scanner. @thread any
 */
#include "connectors/json_scan.h"

#if defined(__SSE2__)

#define DEPTH_MAX 64u
#define MARGIN    32 /* bytes that may be read behind a place that was compared with `limit` */

/* Bit i: byte i of the 16 at p is '"', '\\', below 0x20 or above 0x7f. */
static inline unsigned stops(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i hit =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(hit, _mm_cmplt_epi8(v, _mm_set1_epi8(32))));
}

static const char *odd_byte(struct tn_json *json, const char *p)
{
    if (*p == '\\')
        return tn_json_escape(json, p);
    int n = (unsigned char)*p >= 0x80 ? tn_utf8_sequence(p, json->end) : 0;
    return n ? p + n : NULL;
}

/* p behind the opening quote; behind the closing one, or NULL. */
static inline const char *string_end(struct tn_json *json, const char *p, const char *limit)
{
    while (p < limit) {
        unsigned mask = stops(p);
        if (!mask) {
            p += 16;
            continue;
        }
        p += __builtin_ctz(mask);
        if (TN_LIKELY(*p == '"'))
            return p + 1;
        p = odd_byte(json, p);
        if (!p)
            break;
    }
    return NULL;
}

static inline const char *blanks(const char *p, const char *limit)
{
    while (TN_UNLIKELY(*p == ' ' || *p == '\t' || *p == '\r') && p < limit)
        p++;
    return p;
}

/* A member's name and its colon. */
static inline const char *name_end(struct tn_json *json, const char *p, const char *limit)
{
    if (*p != '"' || !(p = string_end(json, p + 1, limit)))
        return NULL;
    p = blanks(p, limit);
    return *p == ':' ? blanks(p + 1, limit) : NULL;
}

static inline const char *scalar_end(struct tn_json *json, const char *p, const char *limit)
{
    struct tn_str text;
    bool is_integer;
    if (*p == '"')
        return string_end(json, p + 1, limit);
    if (*p >= '1' && *p <= '9') {
        const char *digits = p;
        while (p < limit && tn_json_is_digit(*p))
            p++;
        if (TN_LIKELY(*p != '.' && (*p | 0x20) != 'e'))
            return p;
        p = digits;
    }
    json->p = p;
    bool is_number = *p == '-' || tn_json_is_digit(*p);
    bool is_good = is_number ? tn_json_number(json, &text, &is_integer) : tn_json_word(json);
    return is_good ? json->p : NULL;
}

const char *tn_json_line(const char *p, const char *end)
{
    struct tn_json json = {p, end, NULL, DEPTH_MAX};
    const char *limit = end - p > MARGIN ? end - MARGIN : p;
    uint64_t objects = 0; /* bit 0: the innermost bracket is an object's */
    uint32_t depth = 0;
    while (p < limit) {
        if (*p == '{' || *p == '[') {
            bool is_object = *p == '{';
            if (depth++ == DEPTH_MAX)
                return NULL;
            objects = objects << 1 | is_object;
            p = blanks(p + 1, limit);
            if (*p != (is_object ? '}' : ']')) {
                if (is_object && !(p = name_end(&json, p, limit)))
                    return NULL;
                continue;
            }
        } else if (!(p = scalar_end(&json, p, limit))) {
            return NULL;
        }
        for (;; p++) { /* a value has ended, or p is at the bracket that ends one */
            if (depth == 0)
                return p < limit ? p : NULL;
            p = blanks(p, limit);
            if (*p == ',' || p >= limit)
                break;
            if (*p != (objects & 1 ? '}' : ']'))
                return NULL;
            objects >>= 1;
            depth--;
        }
        p = blanks(p + 1, limit);
        if (objects & 1 && !(p = name_end(&json, p, limit)))
            return NULL;
    }
    return NULL;
}

#else

const char *tn_json_line(const char *p, const char *end)
{
    (void)p;
    (void)end;
    return NULL;
}

#endif
