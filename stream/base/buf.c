/* Growable buffer: doubles from 64 bytes up to its maximum. */
#include "stream/base/buf.h"

#include <stdio.h>

#include "stream/base/mem.h"

void tn_buf_init(struct tn_buf *buf, size_t bytes_max)
{
    *buf = (struct tn_buf){.max = bytes_max};
}

void tn_buf_release(struct tn_buf *buf)
{
    tn_free(buf->ptr);
    *buf = (struct tn_buf){.max = buf->max};
}

char *tn_buf_grow(struct tn_buf *buf, size_t extra)
{
    if (buf->is_over)
        return NULL;
    if (extra > buf->max || buf->len > buf->max - extra) {
        buf->is_over = true;
        return NULL;
    }
    size_t need = buf->len + extra;
    if (need > buf->cap || !buf->ptr) {
        size_t cap = buf->cap ? buf->cap : 64;
        while (cap < need)
            cap *= 2;
        buf->ptr = tn_realloc(buf->ptr, cap);
        buf->cap = cap;
    }
    return buf->ptr + buf->len;
}

void tn_buf_printf(struct tn_buf *buf, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    TN_ASSERT(len >= 0);
    char *to = tn_buf_reserve(buf, (size_t)len + 1);
    if (to) {
        vsnprintf(to, (size_t)len + 1, fmt, again);
        buf->len += (size_t)len;
    }
    va_end(again);
}

void tn_buf_add_be32(struct tn_buf *buf, uint32_t value)
{
    unsigned char b[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                          (unsigned char)(value >> 8), (unsigned char)value};
    tn_buf_add(buf, b, 4);
}

void tn_buf_add_be64(struct tn_buf *buf, uint64_t value)
{
    tn_buf_add_be32(buf, (uint32_t)(value >> 32));
    tn_buf_add_be32(buf, (uint32_t)value);
}

void tn_buf_add_varint(struct tn_buf *buf, uint64_t value)
{
    unsigned char b[10];
    size_t n = 0;
    do {
        b[n] = (unsigned char)(value & 127u);
        value >>= 7;
        b[n] |= value ? 128u : 0u;
        n++;
    } while (value);
    tn_buf_add(buf, b, n);
}

const char *tn_varint_read(const char *ptr, const char *end, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && ptr < end; shift += 7) {
        unsigned char b = (unsigned char)*ptr++;
        value |= (uint64_t)(b & 127u) << (shift & 63u);
        if (!(b & 128u)) {
            *ret_value = value;
            return ptr;
        }
    }
    return NULL;
}

void tn_buf_add_slice(struct tn_buf *buf, struct tn_str slice)
{
    tn_buf_add_varint(buf, slice.len);
    tn_buf_add_str(buf, slice);
}

const char *tn_slice_read(const char *ptr, const char *end, struct tn_str *ret_slice)
{
    uint64_t len = 0;
    ptr = ptr ? tn_varint_read(ptr, end, &len) : NULL;
    if (!ptr || len > (uint64_t)(end - ptr))
        return NULL;
    *ret_slice = (struct tn_str){ptr, (size_t)len};
    return ptr + len;
}

void tn_buf_add_i64(struct tn_buf *buf, int64_t value)
{
    char text[24];
    char *p = text + sizeof text;
    uint64_t u = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--p = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (value < 0)
        *--p = '-';
    tn_buf_add(buf, p, (size_t)(text + sizeof text - p));
}

static void add_json_escape(struct tn_buf *buf, unsigned char c)
{
    static const char short_form[32] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    char e = c < 32 ? short_form[c] : (char)c;
    if (e) {
        char text[2] = {'\\', e};
        tn_buf_add(buf, text, 2);
        return;
    }
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15u]};
    tn_buf_add(buf, text, 6);
}

void tn_buf_add_json(struct tn_buf *buf, struct tn_str text)
{
    tn_buf_add_byte(buf, '"');
    size_t from = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (TN_LIKELY(c >= 32 && c != '"' && c != '\\'))
            continue;
        tn_buf_add(buf, text.ptr + from, i - from);
        add_json_escape(buf, c);
        from = i + 1;
    }
    tn_buf_add(buf, text.ptr + from, text.len - from);
    tn_buf_add_byte(buf, '"');
}

const char *tn_buf_cstr(struct tn_buf *buf)
{
    char *to = tn_buf_reserve(buf, 1);
    if (!to)
        return "";
    *to = 0;
    return buf->ptr;
}

char *tn_buf_detach(struct tn_buf *buf, size_t *ret_len)
{
    char *ptr = buf->ptr;
    *ret_len = buf->len;
    *buf = (struct tn_buf){.max = buf->max};
    return ptr;
}
