/* Bounded growable byte buffer. The maximum is a mandatory argument; going over it sets `is_over`,
 * drops the bytes and makes every later append a no-op: check once at the end with tn_buf_over().
 * Ownership: the buffer owns its bytes; tn_buf_detach hands them over (tn_free). One owner thread.
 */
#ifndef TN_STREAM_BASE_BUF_H
#define TN_STREAM_BASE_BUF_H

#include <string.h>
#include "stream/base/status.h"
#include "stream/base/str.h"

struct tn_buf {
    char *ptr;
    size_t len, cap, max;
    bool is_over;
};

void tn_buf_init(struct tn_buf *buf, size_t bytes_max);
void tn_buf_release(struct tn_buf *buf);
static inline void tn_buf_reset(struct tn_buf *buf)
{
    buf->len = 0;
    buf->is_over = false;
}
/* Make room for `extra` more bytes; returns where they go, or NULL when over the maximum. The
 * caller writes at most `extra` bytes there and then adds to buf->len. */
char *tn_buf_grow(struct tn_buf *buf, size_t extra);

static inline char *tn_buf_reserve(struct tn_buf *buf, size_t extra)
{
    if (TN_LIKELY(buf->cap - buf->len >= extra && !buf->is_over && buf->ptr))
        return buf->ptr + buf->len;
    return tn_buf_grow(buf, extra);
}
static inline void tn_buf_add(struct tn_buf *buf, const void *bytes, size_t len)
{
    char *to = tn_buf_reserve(buf, len);
    if (to && len) {
        memcpy(to, bytes, len);
        buf->len += len;
    }
}
static inline void tn_buf_add_str(struct tn_buf *buf, struct tn_str text)
{
    tn_buf_add(buf, text.ptr, text.len);
}
static inline void tn_buf_add_text(struct tn_buf *buf, const char *text)
{
    tn_buf_add(buf, text, strlen(text));
}
static inline void tn_buf_add_byte(struct tn_buf *buf, char byte)
{
    tn_buf_add(buf, &byte, 1);
}
void tn_buf_printf(struct tn_buf *buf, const char *fmt, ...) TN_PRINTF(2, 3);
void tn_buf_add_be32(struct tn_buf *buf, uint32_t value);
void tn_buf_add_be64(struct tn_buf *buf, uint64_t value);
void tn_buf_add_varint(struct tn_buf *buf, uint64_t value);     /* LEB128 */
void tn_buf_add_slice(struct tn_buf *buf, struct tn_str slice); /* varint length, bytes */
/* JSON string with quotes: canonical escapes \" \\ \b \f \n \r \t, other controls as \u00XX. */
void tn_buf_add_json(struct tn_buf *buf, struct tn_str text);
void tn_buf_add_i64(struct tn_buf *buf, int64_t value);

static inline bool tn_buf_over(const struct tn_buf *buf)
{
    return buf->is_over;
}
static inline struct tn_str tn_buf_str(const struct tn_buf *buf)
{
    return (struct tn_str){buf->ptr ? buf->ptr : "", buf->len};
}
/* Add a NUL that is not counted in len and return the text; valid until the next append. */
const char *tn_buf_cstr(struct tn_buf *buf);
/* Hand the bytes over to the caller (tn_free); the buffer is empty afterwards. */
char *tn_buf_detach(struct tn_buf *buf, size_t *ret_len);

/* Big-endian readers for fixed-width fields. */
static inline uint32_t tn_be32(const void *ptr)
{
    const unsigned char *p = ptr;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t tn_be64(const void *ptr)
{
    return (uint64_t)tn_be32(ptr) << 32 | tn_be32((const char *)ptr + 4);
}
/* Read a LEB128 varint; returns the byte after it, or NULL when truncated or longer than 10 bytes.
 */
const char *tn_varint_read(const char *ptr, const char *end, uint64_t *ret_value);
/* Read what tn_buf_add_slice wrote; returns the byte after it, or NULL when cut short or `ptr` is
 * NULL. The slice lives as long as the bytes that are read. */
const char *tn_slice_read(const char *ptr, const char *end, struct tn_str *ret_slice);

#endif
