/* Base64 (RFC 4648, standard alphabet, padded) and hexadecimal. @thread any */
#ifndef TN_STREAM_BASE_BASE64_H
#define TN_STREAM_BASE_BASE64_H

#include "stream/base/buf.h"

static inline size_t tn_base64_bytes(size_t len)
{
    return (len + 2) / 3 * 4;
}
/* Writes exactly tn_base64_bytes(len) bytes. */
void tn_base64_put(struct tn_str bytes, char *to);
void tn_base64_encode(struct tn_str bytes, struct tn_buf *buf);
/* Writes at most len / 4 * 3 + 2 bytes; returns the number, −1 when the text is not base64. Padding
 * may be left out; "-_" are read as "+/". */
int64_t tn_base64_decode(struct tn_str text, char *to);
/* The same for data: padded, standard alphabet only. Writes at most len / 4 * 3 bytes. */
int64_t tn_base64_decode_strict(struct tn_str text, char *to);

/* 2 × len digits. */
void tn_hex_put(struct tn_str bytes, bool is_upper, char *to);
/* len / 2 bytes; −1 on an odd length or another character. */
int64_t tn_hex_decode(struct tn_str text, char *to);

#endif
