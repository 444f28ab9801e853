/* UTF-8: checking, walking, case. A "well-formed" text has no overlong forms, no surrogates,
 * nothing above U+10FFFF. Functions other than the first four take well-formed text
 * (everything decoded at the edges is).
 * @thread any
 */
#ifndef TN_STREAM_BASE_UTF8_H
#define TN_STREAM_BASE_UTF8_H

#include "stream/base/buf.h"

/* Bytes of the well-formed sequence at ptr < end; 0 when it is malformed or cut off. */
int tn_utf8_sequence(const char *ptr, const char *end);
bool tn_utf8_ok(const char *ptr, size_t len);
/* Bytes before the first malformed sequence; len when the text is well-formed. */
size_t tn_utf8_prefix(const char *ptr, size_t len);
/* Append `text`, each malformed sequence replaced by U+FFFD. */
void tn_utf8_repair(struct tn_str text, struct tn_buf *buf);

/* Decode one code point and step behind it. *io_ptr < end. Malformed bytes give U+FFFD and step by
 * one. */
uint32_t tn_utf8_next(const char **io_ptr, const char *end);
/* Encode; returns 1…4 bytes. Surrogates and values above U+10FFFF become U+FFFD. */
size_t tn_utf8_put(uint32_t code, char to[4]);

size_t tn_utf8_count(struct tn_str text);       /* code points */
size_t tn_utf8_count_utf16(struct tn_str text); /* UTF-16 code units, as Java counts */
/* Byte offset of code point number `index` (0-based); text.len when there are fewer. */
size_t tn_utf8_offset(struct tn_str text, size_t index);
static inline bool tn_utf8_is_tail(char byte)
{
    return ((unsigned char)byte & 0xC0u) == 0x80u;
}

/* Simple case mapping (one code point to one), Unicode 14; utf8_case.c. */
uint32_t tn_code_lower(uint32_t code);
uint32_t tn_code_upper(uint32_t code);

#endif
