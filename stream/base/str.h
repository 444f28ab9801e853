/* Borrowed slices. A tn_str is valid until the event its giver states; it is not NUL-terminated. */
#ifndef TN_STREAM_BASE_STR_H
#define TN_STREAM_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct tn_str {
    const char *ptr; /* NULL only when absent (SQL NULL, null key); then len is 0 */
    size_t len;
};

#define TN_STR(literal) ((struct tn_str){(literal), sizeof(literal) - 1})
#define TN_STR_FMT(s)   (int)(s).len, (s).ptr /* for "%.*s" */

static inline struct tn_str tn_str_of(const char *text)
{
    return (struct tn_str){text, text ? strlen(text) : 0};
}

/* Texts of up to TN_STR_SHORT bytes as a number: equal numbers and lengths are equal texts. */
#define TN_STR_SHORT 8
static inline uint64_t tn_str_short(struct tn_str text)
{
    uint32_t low, high;
    if (text.len >= 4) { /* the first and the last four, which may overlap */
        memcpy(&low, text.ptr, 4);
        memcpy(&high, text.ptr + text.len - 4, 4);
        return low | (uint64_t)high << 32;
    }
    if (text.len == 0)
        return 0;
    const unsigned char *ptr = (const unsigned char *)text.ptr;
    return ptr[0] | (uint64_t)ptr[text.len / 2] << 8 | (uint64_t)ptr[text.len - 1] << 16;
}

static inline bool tn_str_eq(struct tn_str a, struct tn_str b)
{
    if (a.len != b.len)
        return false;
    return a.len <= TN_STR_SHORT ? tn_str_short(a) == tn_str_short(b)
                                 : memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* ASCII case-blind equality, the rule for SQL names. */
static inline bool tn_str_eq_nocase(struct tn_str a, struct tn_str b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

/* Byte order (memcmp, shorter first): < 0, 0, > 0. */
static inline int tn_str_cmp(struct tn_str a, struct tn_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* The candidate nearest to `name` by edit distance, case-blind, for "did you mean"; NULL when none
 * is near enough (more than a third of the letters differ). Returns one of the candidates. */
const char *tn_str_nearest(struct tn_str name, const char *const *candidates,
                           size_t candidates_count);

#endif
