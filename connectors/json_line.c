/* The quick check of one line of NDJSON: the ends of strings are found for 64 bytes at once,
 * brackets are bits of a word.
 *
 * It only ever says yes to what tn_json_check accepts too, and NULL means "ask that one": what is
 * refused, deeper than 64, or within the last bytes of the input, where 64 cannot be read. So
 * errors, positions and limits have one place, the scanner. @thread any
 */
#include "connectors/json_scan.h"

#if defined(__SSE2__)

#define MARGIN     96 /* bytes that may be read behind a place that was compared with `limit` */
#define NESTED_MAX 64u

/* Stops of the 64 bytes at base: each string ends at a bit of it. Loading at the place where the
 * last one ended would make each string wait for the one before. */
struct window {
    const char *base;
    uint64_t stops; /* bit i: byte i is '"', '\\', below 0x20 or above 0x7f */
};

static inline uint64_t stops16(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i hit =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(hit, _mm_cmplt_epi8(v, _mm_set1_epi8(32))));
}

static inline void window_at(struct window *w, const char *base)
{
    w->base = base;
    w->stops = stops16(base) | stops16(base + 16) << 16 | stops16(base + 32) << 32 |
               stops16(base + 48) << 48;
}

/* The first stop from p on; NULL: none before limit. */
static inline const char *next_stop(struct window *w, const char *p, const char *limit)
{
    size_t at = (size_t)(p - w->base);
    uint64_t rest = at < 64 ? w->stops >> at : 0;
    if (TN_LIKELY(rest))
        return p + __builtin_ctzll(rest);
    do {
        const char *base = at < 64 ? w->base + 64 : p;
        if (base >= limit)
            return NULL;
        window_at(w, base);
        at = 0;
        p = base;
    } while (!w->stops);
    return p + __builtin_ctzll(w->stops);
}

/* Digits at the start of the 16 at p. */
static inline int digits(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i low = _mm_add_epi8(v, _mm_set1_epi8((char)(0x80 - '0'))); /* digits: -128 … -119 */
    unsigned others = (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(low, _mm_set1_epi8(-119)));
    return __builtin_ctz(others | 1u << 16);
}

static const char *odd_byte(struct tn_json *json, const char *p)
{
    if (*p == '\\')
        return tn_json_escape(json, p);
    int n = (unsigned char)*p >= 0x80 ? tn_utf8_sequence(p, json->end) : 0;
    return n ? p + n : NULL;
}

/* p behind the opening quote; behind the closing one, or NULL. */
static inline const char *string_end(struct tn_json *json, struct window *w, const char *p,
                                     const char *limit)
{
    while ((p = next_stop(w, p, limit)) != NULL) {
        if (TN_LIKELY(*p == '"'))
            return p + 1;
        p = odd_byte(json, p);
        if (!p || p >= limit)
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
static inline const char *name_end(struct tn_json *json, struct window *w, const char *p,
                                   const char *limit)
{
    if (*p != '"' || !(p = string_end(json, w, p + 1, limit)))
        return NULL;
    p = blanks(p, limit);
    return *p == ':' ? blanks(p + 1, limit) : NULL;
}

static inline const char *scalar_end(struct tn_json *json, struct window *w, const char *p,
                                     const char *limit)
{
    struct tn_str text;
    bool is_integer;
    if (*p == '"')
        return string_end(json, w, p + 1, limit);
    if (*p >= '1' && *p <= '9') {
        const char *after = p + digits(p);
        if (TN_LIKELY(after < p + 16 && *after != '.' && (*after | 0x20) != 'e'))
            return after;
    }
    json->p = p;
    bool is_number = *p == '-' || tn_json_is_digit(*p);
    bool is_good = is_number ? tn_json_number(json, &text, &is_integer) : tn_json_word(json);
    return is_good ? json->p : NULL;
}

const char *tn_json_line(const char *p, const char *end)
{
    struct tn_json json = {p, end, NULL, NESTED_MAX};
    const char *limit = end - p > MARGIN ? end - MARGIN : p;
    uint64_t objects = 0; /* bit 0: the innermost bracket is an object's */
    uint32_t depth = 0;
    struct window w;
    if (p == limit)
        return NULL;
    window_at(&w, p);
    while (p < limit) {
        if (*p == '{' || *p == '[') {
            bool is_object = *p == '{';
            if (depth++ == NESTED_MAX)
                return NULL;
            objects = objects << 1 | is_object;
            p = blanks(p + 1, limit);
            if (*p != (is_object ? '}' : ']')) {
                if (is_object && !(p = name_end(&json, &w, p, limit)))
                    return NULL;
                continue;
            }
        } else if (!(p = scalar_end(&json, &w, p, limit)) || p >= limit) {
            return NULL; /* a long number may end where the input does */
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
        if (objects & 1 && !(p = name_end(&json, &w, p, limit)))
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
