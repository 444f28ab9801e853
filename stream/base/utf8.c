/* UTF-8 checking (eight ASCII bytes at a time, then one sequence at a time by the ranges of RFC
 * 3629) and walking.
 * @thread any */
#include "stream/base/utf8.h"

/* RFC 3629, section 4. */
int tn_utf8_sequence(const char *ptr, const char *end)
{
    const unsigned char *p = (const unsigned char *)ptr;
    ptrdiff_t left = end - ptr;
    unsigned char b = p[0];
    if (b < 0x80)
        return 1;
    if (b >= 0xC2 && b <= 0xDF)
        return left >= 2 && (p[1] & 0xC0) == 0x80 ? 2 : 0;
    if (b >= 0xE0 && b <= 0xEF) {
        unsigned char low = b == 0xE0 ? 0xA0 : 0x80, high = b == 0xED ? 0x9F : 0xBF;
        return left >= 3 && p[1] >= low && p[1] <= high && (p[2] & 0xC0) == 0x80 ? 3 : 0;
    }
    if (b >= 0xF0 && b <= 0xF4) {
        unsigned char low = b == 0xF0 ? 0x90 : 0x80, high = b == 0xF4 ? 0x8F : 0xBF;
        bool is_ok = left >= 4 && p[1] >= low && p[1] <= high && (p[2] & 0xC0) == 0x80 &&
                     (p[3] & 0xC0) == 0x80;
        return is_ok ? 4 : 0;
    }
    return 0;
}

size_t tn_utf8_prefix(const char *ptr, size_t len)
{
    const char *p = ptr, *end = ptr + len;
    while (p < end) {
        uint64_t word;
        while (end - p >= 8 && (memcpy(&word, p, 8), (word & 0x8080808080808080u) == 0))
            p += 8;
        if (p == end)
            break;
        int step = tn_utf8_sequence(p, end);
        if (step == 0)
            break;
        p += step;
    }
    return (size_t)(p - ptr);
}

bool tn_utf8_ok(const char *ptr, size_t len)
{
    return tn_utf8_prefix(ptr, len) == len;
}

void tn_utf8_repair(struct tn_str text, struct tn_buf *buf)
{
    while (text.len) {
        size_t good = tn_utf8_prefix(text.ptr, text.len);
        tn_buf_add(buf, text.ptr, good);
        text.ptr += good;
        text.len -= good;
        if (text.len == 0)
            break;
        tn_buf_add_text(buf, "\xEF\xBF\xBD");
        text.ptr++;
        text.len--;
    }
}

uint32_t tn_utf8_next(const char **io_ptr, const char *end)
{
    const unsigned char *p = (const unsigned char *)*io_ptr;
    int len = tn_utf8_sequence(*io_ptr, end);
    *io_ptr += len ? len : 1;
    switch (len) {
    case 1: return p[0];
    case 2: return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    case 3: return (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    case 4:
        return (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
    default: return 0xFFFD;
    }
}

size_t tn_utf8_put(uint32_t code, char to[4])
{
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        code = 0xFFFD;
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        to[i] = (char)(0x80u | (code & 0x3Fu));
        code >>= 6;
    }
    static const unsigned char heads[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    to[0] = (char)(heads[len] | code);
    return len;
}

size_t tn_utf8_count(struct tn_str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += !tn_utf8_is_tail(text.ptr[i]);
    return count;
}

size_t tn_utf8_count_utf16(struct tn_str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count +=
            (size_t)!tn_utf8_is_tail(text.ptr[i]) + (size_t)((unsigned char)text.ptr[i] >= 0xF0);
    return count;
}

size_t tn_utf8_offset(struct tn_str text, size_t index)
{
    size_t i = 0;
    for (; i < text.len; i++) {
        if (tn_utf8_is_tail(text.ptr[i]))
            continue;
        if (index == 0)
            break;
        index--;
    }
    return i;
}
