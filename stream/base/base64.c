/* Base64 and hexadecimal by table. @thread any */
#include "stream/base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void tn_base64_put(struct tn_str bytes, char *to)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    size_t i = 0;
    for (; i + 3 <= bytes.len; i += 3, to += 4) {
        uint32_t w = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
        for (unsigned k = 0; k < 4; k++)
            to[k] = alphabet[w >> (18 - 6 * k) & 63u];
    }
    if (i == bytes.len)
        return;
    uint32_t w = (uint32_t)p[i] << 16 | (i + 1 < bytes.len ? (uint32_t)p[i + 1] << 8 : 0);
    to[0] = alphabet[w >> 18 & 63u];
    to[1] = alphabet[w >> 12 & 63u];
    to[2] = i + 1 < bytes.len ? alphabet[w >> 6 & 63u] : '=';
    to[3] = '=';
}

void tn_base64_encode(struct tn_str bytes, struct tn_buf *buf)
{
    size_t len = tn_base64_bytes(bytes.len);
    char *to = tn_buf_reserve(buf, len);
    if (!to)
        return;
    tn_base64_put(bytes, to);
    buf->len += len;
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

int64_t tn_base64_decode(struct tn_str text, char *to)
{
    uint32_t w = 0;
    unsigned bits = 0;
    char *p = to;
    size_t len = text.len;
    while (len && text.ptr[len - 1] == '=' && text.len - len < 2)
        len--;
    for (size_t i = 0; i < len; i++) {
        int value = value_of(text.ptr[i]);
        if (value < 0)
            return -1;
        w = w << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *p++ = (char)(w >> bits & 255u);
        }
    }
    bool is_short = len % 4 == 1 || (len != text.len && text.len % 4 != 0);
    return is_short ? -1 : p - to;
}

int64_t tn_base64_decode_strict(struct tn_str text, char *to)
{
    bool is_other =
        text.len && (memchr(text.ptr, '-', text.len) || memchr(text.ptr, '_', text.len));
    return text.len % 4 || is_other ? -1 : tn_base64_decode(text, to);
}

void tn_hex_put(struct tn_str bytes, bool is_upper, char *to)
{
    const char *digits = is_upper ? "0123456789ABCDEF" : "0123456789abcdef";
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char b = (unsigned char)bytes.ptr[i];
        *to++ = digits[b >> 4];
        *to++ = digits[b & 15u];
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int64_t tn_hex_decode(struct tn_str text, char *to)
{
    if (text.len % 2)
        return -1;
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_value(text.ptr[i]), low = hex_value(text.ptr[i + 1]);
        if (high < 0 || low < 0)
            return -1;
        to[i / 2] = (char)(high << 4 | low);
    }
    return (int64_t)(text.len / 2);
}
