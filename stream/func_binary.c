/* Bytes: hexadecimal, base64, text encodings, numbers in bytes, digests, UUIDs. @thread the running
 * one */
#include "stream/base/base64.h"
#include "stream/base/digest.h"
#include "stream/base/random.h"
#include "stream/base/utf8.h"
#include "stream/func_int.h"

enum encoding { ENC_HEX, ENC_UTF8, ENC_ASCII, ENC_BASE64, ENC_BASE64_URL };

static bool encoding_of(struct tn_call *call, uint32_t arg, uint32_t row,
                        enum encoding *ret_encoding)
{
    static const char *const names[] = {"hex", "utf8", "ascii", "base64"};
    struct tn_str name = tni_arg_str(call, arg, row);
    for (int i = 0; i < 4; i++) {
        if (tn_str_eq_nocase(name, tn_str_of(names[i]))) {
            *ret_encoding = (enum encoding)i;
            return true;
        }
    }
    tni_error_argument(call, row, "encoding must be hex, utf8, ascii or base64, not '%.*s'",
                       (int)(name.len < 40 ? name.len : 40), name.ptr);
    return false;
}

/* bytes → text */
static void add_encoded(struct tni_text *out, struct tn_str bytes, enum encoding encoding,
                        bool is_upper)
{
    if (encoding == ENC_HEX) {
        tn_hex_put(bytes, is_upper, tni_text_reserve(out, 2 * bytes.len));
        out->len += 2 * bytes.len;
    } else if (encoding == ENC_BASE64 || encoding == ENC_BASE64_URL) {
        size_t len = tn_base64_bytes(bytes.len);
        char *to = tni_text_reserve(out, len);
        tn_base64_put(bytes, to);
        for (size_t i = 0; encoding == ENC_BASE64_URL && i < len; i++)
            to[i] = to[i] == '+' ? '-' : to[i] == '/' ? '_' : to[i];
        out->len += len;
    } else {
        struct tn_buf buf; /* text in a column is well-formed */
        tn_buf_init(&buf, bytes.len * 3 + 16);
        tn_utf8_repair(bytes, &buf);
        tni_text_add(out, tn_buf_str(&buf));
        tn_buf_release(&buf);
    }
}

/* text → bytes; false when the text is not in the encoding. */
static bool add_decoded(struct tni_text *out, struct tn_str text, enum encoding encoding)
{
    char *to = tni_text_reserve(out, text.len + 4);
    int64_t len = (int64_t)text.len;
    if (encoding == ENC_HEX) {
        bool has_prefix = text.len >= 2 && text.ptr[0] == '0' && (text.ptr[1] | 32) == 'x';
        bool is_literal = text.len >= 3 && (text.ptr[0] | 32) == 'x' && text.ptr[1] == '\'';
        size_t skip = has_prefix || is_literal ? 2 : 0;
        len = tn_hex_decode((struct tn_str){text.ptr + skip, text.len - skip - is_literal}, to);
    } else if (encoding == ENC_BASE64 || encoding == ENC_BASE64_URL) {
        len = tn_base64_decode(text, to);
    } else {
        memcpy(to, text.ptr, text.len);
    }
    if (len < 0)
        return false;
    out->len += (size_t)len;
    return true;
}

static void encode_all(struct tn_call *call, enum encoding encoding)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row))
            add_encoded(&out, tni_arg_str(call, 0, row), encoding, true);
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void decode_all(struct tn_call *call, enum encoding encoding)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row) && !add_decoded(&out, tni_arg_str(call, 0, row), encoding))
            tni_error_argument(call, row,
                               encoding == ENC_HEX ? "invalid hexadecimal text"
                                                   : "invalid base64 text");
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void kernel_to_hex(struct tn_call *call)
{
    encode_all(call, ENC_HEX);
}
static void kernel_to_base64(struct tn_call *call)
{
    encode_all(call, ENC_BASE64);
}
static void kernel_to_base64url(struct tn_call *call)
{
    encode_all(call, ENC_BASE64_URL);
}
static void kernel_from_utf8(struct tn_call *call)
{
    encode_all(call, ENC_UTF8);
}
static void kernel_from_hex(struct tn_call *call)
{
    decode_all(call, ENC_HEX);
}
static void kernel_from_base64(struct tn_call *call)
{
    decode_all(call, ENC_BASE64);
}
static void kernel_to_utf8(struct tn_call *call)
{
    decode_all(call, ENC_UTF8);
}

/* TO_BYTES(text, encoding) */
static void kernel_to_bytes(struct tn_call *call)
{
    struct tni_text out;
    enum encoding encoding;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row) && encoding_of(call, 1, row, &encoding) &&
            !add_decoded(&out, tni_arg_str(call, 0, row), encoding))
            tni_error_argument(call, row, "text is not in the encoding");
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* FROM_BYTES(bytes, encoding) */
static void kernel_from_bytes(struct tn_call *call)
{
    struct tni_text out;
    enum encoding encoding;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row) && encoding_of(call, 1, row, &encoding))
            add_encoded(&out, tni_arg_str(call, 0, row), encoding, true);
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* ENCODE(text, from, to) */
static void kernel_encode(struct tn_call *call)
{
    struct tni_text out, bytes;
    enum encoding from, to;
    tni_text_open(&out, call, 1024);
    tni_text_open(&bytes, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        bytes.len = 0;
        if (tni_row_ok(call, row) && encoding_of(call, 1, row, &from) &&
            encoding_of(call, 2, row, &to)) {
            if (add_decoded(&bytes, tni_arg_str(call, 0, row), from))
                add_encoded(&out, (struct tn_str){(const char *)bytes.data, bytes.len}, to, false);
            else
                tni_error_argument(call, row, "text is not in the encoding");
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* ---- numbers in bytes ---- */

static uint64_t big_endian(struct tn_str bytes, bool is_little)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.len; i++)
        value = value << 8 | (unsigned char)bytes.ptr[is_little ? bytes.len - 1 - i : i];
    return value;
}

static void put_number(struct tn_call *call, uint32_t row, uint64_t value)
{
    if (call->type->kind == TN_K_INTEGER)
        TNI_OUT(call, int32_t)[row] = (int32_t)(uint32_t)value;
    else if (call->type->kind == TN_K_BIGINT)
        TNI_OUT(call, int64_t)[row] = (int64_t)value;
    else
        memcpy(&TNI_OUT(call, double)[row], &value, 8);
}

static void kernel_number_from_bytes(struct tn_call *call)
{
    size_t width = call->type->kind == TN_K_INTEGER ? 4 : 8;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        struct tn_str bytes = tni_arg_str(call, 0, row);
        struct tn_str order =
            call->args_count == 2 ? tni_arg_str(call, 1, row) : TN_STR("BIG_ENDIAN");
        bool is_little = tn_str_eq_nocase(order, TN_STR("LITTLE_ENDIAN"));
        if (!is_little && !tn_str_eq_nocase(order, TN_STR("BIG_ENDIAN")))
            tni_error_argument(call, row, "byte order must be BIG_ENDIAN or LITTLE_ENDIAN");
        else if (bytes.len != width)
            tni_error_argument(call, row, "expected %zu bytes, found %zu", width, bytes.len);
        else
            put_number(call, row, big_endian(bytes, is_little));
    }
}

static void kernel_to_big_endian(struct tn_call *call)
{
    struct tni_text out;
    size_t width = call->args[0].type->kind == TN_K_INTEGER ? 4 : 8;
    tni_text_open(&out, call, call->rows_count * width);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            uint64_t value;
            if (call->args[0].type->kind == TN_K_DOUBLE) {
                double x = tni_arg_f64(call, 0, row);
                memcpy(&value, &x, 8);
            } else {
                value = (uint64_t)tni_arg_int(call, 0, row);
            }
            char *to = tni_text_reserve(&out, width);
            for (size_t i = 0; i < width; i++)
                to[i] = (char)(value >> (8 * (width - 1 - i)));
            out.len += width;
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* ---- digests ---- */

static void digest_all(struct tn_call *call, void (*digest)(struct tn_str, unsigned char *),
                       size_t len)
{
    struct tni_text out;
    bool is_hex = call->type->kind == TN_K_VARCHAR;
    tni_text_open(&out, call, call->rows_count * len * 2);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            unsigned char bytes[64];
            digest(tni_arg_str(call, 0, row), bytes);
            struct tn_str text = {(const char *)bytes, len};
            if (is_hex)
                add_encoded(&out, text, ENC_HEX, false);
            else
                tni_text_add(&out, text);
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void kernel_md5(struct tn_call *call)
{
    digest_all(call, tn_md5, 16);
}
static void kernel_sha1(struct tn_call *call)
{
    digest_all(call, tn_sha1, 20);
}
static void kernel_sha256(struct tn_call *call)
{
    digest_all(call, tn_sha256, 32);
}
static void kernel_sha512(struct tn_call *call)
{
    digest_all(call, tn_sha512, 64);
}

static void kernel_crc32(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int64_t)[row] = tn_crc32(tni_arg_str(call, 0, row));
}

/* ---- UUIDs ---- */

static void add_uuid(struct tni_text *out, const unsigned char bytes[16])
{
    char hex[32], text[36], *to = text;
    tn_hex_put((struct tn_str){(const char *)bytes, 16}, false, hex);
    for (int i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            *to++ = '-';
        *to++ = hex[i];
    }
    tni_text_add(out, (struct tn_str){text, 36});
}

static void kernel_uuid(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, call->rows_count * 36);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        uint64_t words[2] = {tn_random_next(), tn_random_next()};
        unsigned char bytes[16];
        memcpy(bytes, words, 16);
        bytes[6] = (unsigned char)((bytes[6] & 0x0F) | 0x40); /* version 4, variant 1 */
        bytes[8] = (unsigned char)((bytes[8] & 0x3F) | 0x80);
        add_uuid(&out, bytes);
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void kernel_uuid_of_bytes(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, call->rows_count * 36);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str bytes = tni_arg_str(call, 0, row);
        if (tni_row_ok(call, row) && bytes.len != 16)
            tni_null(call, row);
        else if (tni_row_ok(call, row))
            add_uuid(&out, (const unsigned char *)bytes.ptr);
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM

static const struct tn_func rows[] = {
    TNI_FN("to_hex", QUERY, "y", VARCHAR, kernel_to_hex, "bytes as hexadecimal text"),
    TNI_FN("from_hex", QUERY, "s", BYTES, kernel_from_hex, "bytes of hexadecimal text"),
    TNI_FN("to_base64", QUERY, "y", VARCHAR, kernel_to_base64, "bytes as base64"),
    TNI_FN("from_base64", QUERY, "s", BYTES, kernel_from_base64, "bytes of base64"),
    TNI_FN("to_base64url", QUERY, "y", VARCHAR, kernel_to_base64url, "bytes as base64 for URLs"),
    TNI_FN("from_base64url", QUERY, "s", BYTES, kernel_from_base64, "bytes of base64 for URLs"),
    TNI_FN("to_utf8", QUERY, "s", BYTES, kernel_to_utf8, "UTF-8 bytes of a text"),
    TNI_FN("from_utf8", QUERY, "y", VARCHAR, kernel_from_utf8,
           "text of UTF-8 bytes, malformed ones replaced"),
    TNI_FN("to_bytes", STREAM, "ss", BYTES, kernel_to_bytes,
           "bytes of a text in hex, utf8, ascii or base64"),
    TNI_FN("from_bytes", STREAM, "ys", VARCHAR, kernel_from_bytes,
           "bytes as hex, utf8, ascii or base64"),
    TNI_FN("encode", STREAM, "sss", VARCHAR, kernel_encode, "text from one encoding to another"),
    TNI_FN("int_from_bytes", STREAM, "y", INTEGER, kernel_number_from_bytes, "4 bytes as INTEGER"),
    TNI_FN("int_from_bytes", STREAM, "ys", INTEGER, kernel_number_from_bytes,
           "4 bytes as INTEGER, by byte order"),
    TNI_FN("bigint_from_bytes", STREAM, "y", BIGINT, kernel_number_from_bytes, "8 bytes as BIGINT"),
    TNI_FN("bigint_from_bytes", STREAM, "ys", BIGINT, kernel_number_from_bytes,
           "8 bytes as BIGINT, by byte order"),
    TNI_FN("double_from_bytes", STREAM, "y", DOUBLE, kernel_number_from_bytes, "8 bytes as DOUBLE"),
    TNI_FN("double_from_bytes", STREAM, "ys", DOUBLE, kernel_number_from_bytes,
           "8 bytes as DOUBLE, by byte order"),
    TNI_FN("from_big_endian_32", QUERY, "y", INTEGER, kernel_number_from_bytes,
           "4 bytes as number"),
    TNI_FN("from_big_endian_64", QUERY, "y", BIGINT, kernel_number_from_bytes, "8 bytes as number"),
    TNI_FN("from_ieee754_64", QUERY, "y", DOUBLE, kernel_number_from_bytes, "8 bytes as double"),
    TNI_FN("to_big_endian_32", QUERY, "i", BYTES, kernel_to_big_endian, "number as 4 bytes"),
    TNI_FN("to_big_endian_64", QUERY, "l", BYTES, kernel_to_big_endian, "number as 8 bytes"),
    TNI_FN("to_ieee754_64", QUERY, "d", BYTES, kernel_to_big_endian, "double as 8 bytes"),
    TNI_FN("md5", QUERY, "y", BYTES, kernel_md5, "MD5 digest"),
    TNI_FN("sha1", QUERY, "y", BYTES, kernel_sha1, "SHA-1 digest"),
    TNI_FN("sha256", QUERY, "y", BYTES, kernel_sha256, "SHA-256 digest"),
    TNI_FN("sha512", QUERY, "y", BYTES, kernel_sha512, "SHA-512 digest"),
    TNI_FN("crc32", QUERY, "y", BIGINT, kernel_crc32, "CRC-32 check sum"),
    TNI_FN("md5", STREAM, "s", VARCHAR, kernel_md5, "MD5 digest as hexadecimal text"),
    TNI_FN("uuid", TNI_BOTH | TN_FN_VOLATILE, "", VARCHAR, kernel_uuid, "random UUID"),
    TNI_FN("uuid", STREAM, "y", VARCHAR, kernel_uuid_of_bytes, "UUID of 16 bytes"),
};

TNI_TABLE(binary);
