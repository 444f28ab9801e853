/* One-pass JSON scanner (RFC 8259, strict): checks every byte (grammar, UTF-8, escapes, depth) and
 * hands out slices. Everything hot is inline: it is the inner loop of decoding and of HTTP ingest.
 *
 * A struct tn_json walks [p, end). Functions return false with `reason` (static text) and p at the
 * offending byte. Strings are scanned 16 bytes at a time where the machine has SSE2, 8 at a time
 * elsewhere; never beyond `end`. Lone surrogate escapes are refused: they have no UTF-8 form.
 *
 * Ownership: slices borrow the input. @thread any
 */
#ifndef TN_CONNECTORS_JSON_SCAN_H
#define TN_CONNECTORS_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "stream/base/status.h"
#include "stream/base/str.h"
#include "stream/base/utf8.h"

#define TN_JSON_DEPTH_MAX 512

enum tn_json_string_flags {
    TN_JSON_ESCAPED = 1u << 0, /* the slice holds backslash escapes */
    TN_JSON_WIDE = 1u << 1     /* the slice holds bytes ≥ 0x80 */
};

struct tn_json {
    const char *p, *end;
    const char *reason;
    uint32_t depth_max; /* 1 … TN_JSON_DEPTH_MAX */
};

static inline bool tn_json_fail(struct tn_json *json, const char *at, const char *reason)
{
    json->p = at;
    json->reason = reason;
    return false;
}

static inline void tn_json_space(struct tn_json *json)
{
    const char *p = json->p;
    while (p < json->end && (unsigned char)*p <= ' ' &&
           (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    json->p = p;
}

/* Out-of-line parts (json_scan.c). */

/* Check the escape at p (a backslash); the byte after it, or NULL with json->reason and p set. */
const char *tn_json_escape(struct tn_json *json, const char *p);
/* Skip an object or array whose opening bracket is at json->p. */
bool tn_json_skip_nested(struct tn_json *json);
/* Decode the escapes of a checked slice into `to` (at most text.len bytes); the decoded length. */
size_t tn_json_unescape(struct tn_str text, char *to);

/* The end of the JSON value at p when the quick check finds one without a line break in it, before
 * the last bytes of [p, end); NULL: ask tn_json_check. */
const char *tn_json_line(const char *p, const char *end);

/* May the 16 bytes at p be read although they end behind the text? What shares a page with p is
 * there; what is read behind the end decides nothing. Sanitizers know better than pages. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TN_JSON_READS_PAST 0
#elif defined(__has_feature)
#define TN_JSON_READS_PAST                                                                         \
    (!__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer) &&                      \
     !__has_feature(memory_sanitizer))
#else
#define TN_JSON_READS_PAST 1
#endif

static inline bool tn_json_may_read16(const char *p, const char *end)
{
    return end - p >= 16 || (TN_JSON_READS_PAST && ((uintptr_t)p & 4095u) <= 4096 - 16);
}

/* Index of the first byte of [p, end) that is '"', '\\', below 0x20 or above 0x7f; end - p when
 * none. */
static inline size_t tn_json_plain(const char *p, const char *end)
{
    const char *from = p;
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(32);
    while (p < end && TN_LIKELY(tn_json_may_read16(p, end))) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* signed compare: control bytes and bytes ≥ 0x80 are both below 32 */
        __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)),
                                   _mm_cmplt_epi8(v, space));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);
        if (TN_LIKELY(mask)) {
            p += __builtin_ctz(mask);
            return (size_t)((p < end ? p : end) - from);
        }
        p += 16;
    }
    if (TN_UNLIKELY(p > end))
        return (size_t)(end - from);
#else
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t q = w ^ ones * '"', s = w ^ ones * '\\';
        uint64_t hit = ((q - ones) & ~q) | ((s - ones) & ~s) | (w - ones * 32) | w;
        if (hit & high)
            break;
        p += 8;
    }
#endif
    while (p < end && (signed char)*p >= 32 && *p != '"' && *p != '\\')
        p++;
    return (size_t)(p - from);
}

/* String whose opening quote is at json->p; the slice excludes the quotes; p ends behind the
 * closing one. */
static inline bool tn_json_string(struct tn_json *json, struct tn_str *ret_text,
                                  unsigned *ret_flags)
{
    const char *from = json->p + 1, *p = from, *end = json->end;
    unsigned flags = 0;
    for (;;) {
        p += tn_json_plain(p, end);
        if (TN_UNLIKELY(p >= end))
            return tn_json_fail(json, end, "string without closing quote");
        unsigned char c = (unsigned char)*p;
        if (TN_LIKELY(c == '"'))
            break;
        if (c == '\\') {
            flags |= TN_JSON_ESCAPED;
            p = tn_json_escape(json, p);
            if (!p)
                return false;
        } else if (c >= 0x80) {
            flags |= TN_JSON_WIDE;
            int n = tn_utf8_sequence(p, end);
            if (!n)
                return tn_json_fail(json, p, "invalid UTF-8");
            p += n;
        } else {
            return tn_json_fail(json, p, "control character in string");
        }
    }
    *ret_text = (struct tn_str){from, (size_t)(p - from)};
    *ret_flags = flags;
    json->p = p + 1;
    return true;
}

static inline bool tn_json_is_digit(char c)
{
    return (unsigned)(c - '0') <= 9;
}

static inline const char *tn_json_digits(const char *p, const char *end)
{
    while (p < end && tn_json_is_digit(*p))
        p++;
    return p;
}

/* Number at json->p ('-' or digit). is_integer: neither fraction nor exponent. */
static inline bool tn_json_number(struct tn_json *json, struct tn_str *ret_text,
                                  bool *ret_is_integer)
{
    const char *from = json->p, *p = from, *end = json->end;
    bool is_integer = true;
    if (*p == '-')
        p++;
    if (p >= end || !tn_json_is_digit(*p))
        return tn_json_fail(json, p, "expected a digit");
    p = *p == '0' ? p + 1 : tn_json_digits(p, end);
    if (p < end && *p == '.') {
        is_integer = false;
        const char *digits = ++p;
        p = tn_json_digits(p, end);
        if (p == digits)
            return tn_json_fail(json, p, "expected a digit after '.'");
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        is_integer = false;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        const char *digits = p;
        p = tn_json_digits(p, end);
        if (p == digits)
            return tn_json_fail(json, p, "expected a digit in the exponent");
    }
    *ret_text = (struct tn_str){from, (size_t)(p - from)};
    *ret_is_integer = is_integer;
    json->p = p;
    return true;
}

/* true, false, null at json->p. */
static inline bool tn_json_word(struct tn_json *json)
{
    size_t left = (size_t)(json->end - json->p);
    size_t n = 0;
    if (left >= 4 && (memcmp(json->p, "true", 4) == 0 || memcmp(json->p, "null", 4) == 0))
        n = 4;
    else if (left >= 5 && memcmp(json->p, "false", 5) == 0)
        n = 5;
    if (!n)
        return tn_json_fail(json, json->p, "expected a JSON value");
    json->p += n;
    return true;
}

/* Skip one value of any kind at json->p (no leading space). */
static inline bool tn_json_skip(struct tn_json *json)
{
    struct tn_str text;
    unsigned flags;
    bool is_integer;
    if (TN_UNLIKELY(json->p >= json->end))
        return tn_json_fail(json, json->end, "unexpected end of input");
    char c = *json->p;
    if (c == '"')
        return tn_json_string(json, &text, &flags);
    if (c == '-' || tn_json_is_digit(c))
        return tn_json_number(json, &text, &is_integer);
    if (c == '{' || c == '[')
        return tn_json_skip_nested(json);
    return tn_json_word(json);
}

/* Next member of an object whose opening brace is behind p: raw name and p at its value. *ret_done
 * when the object has ended (p behind the brace). is_first for the first call. */
static inline bool tn_json_member(struct tn_json *json, bool is_first, bool *ret_done,
                                  struct tn_str *ret_name, unsigned *ret_flags)
{
    tn_json_space(json);
    if (TN_UNLIKELY(json->p >= json->end))
        return tn_json_fail(json, json->end, "object without closing brace");
    *ret_done = false;
    if (*json->p == '}') {
        json->p++;
        *ret_done = true;
        return true;
    }
    if (!is_first) {
        if (*json->p != ',')
            return tn_json_fail(json, json->p, "expected ',' or '}'");
        json->p++;
        tn_json_space(json);
    }
    if (json->p >= json->end || *json->p != '"')
        return tn_json_fail(json, json->p, "expected a member name in quotes");
    if (!tn_json_string(json, ret_name, ret_flags))
        return false;
    tn_json_space(json);
    if (json->p >= json->end || *json->p != ':')
        return tn_json_fail(json, json->p, "expected ':'");
    json->p++;
    tn_json_space(json);
    if (json->p >= json->end)
        return tn_json_fail(json, json->end, "unexpected end of input");
    return true;
}

/* Next element of an array whose opening bracket is behind p: p at its value. */
static inline bool tn_json_element(struct tn_json *json, bool is_first, bool *ret_done)
{
    tn_json_space(json);
    if (TN_UNLIKELY(json->p >= json->end))
        return tn_json_fail(json, json->end, "array without closing bracket");
    *ret_done = false;
    if (*json->p == ']') {
        json->p++;
        *ret_done = true;
        return true;
    }
    if (!is_first) {
        if (*json->p != ',')
            return tn_json_fail(json, json->p, "expected ',' or ']'");
        json->p++;
        tn_json_space(json);
        if (json->p < json->end && *json->p == ']')
            return tn_json_fail(json, json->p, "expected a JSON value");
    }
    if (json->p >= json->end)
        return tn_json_fail(json, json->end, "unexpected end of input");
    return true;
}

/* Check that [p, end) is exactly one JSON value with optional space around it. */
static inline bool tn_json_check(struct tn_json *json)
{
    tn_json_space(json);
    if (!tn_json_skip(json))
        return false;
    tn_json_space(json);
    if (json->p != json->end)
        return tn_json_fail(json, json->p, "text after the JSON value");
    return true;
}

#endif
