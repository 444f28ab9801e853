/* Borrowed slices. A tn_str is valid until the event its giver states; it is not NUL-terminated. */
#ifndef TN_STREAM_BASE_STR_H
#define TN_STREAM_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
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

static inline bool tn_str_eq(struct tn_str a, struct tn_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
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
