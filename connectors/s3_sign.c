/* Signature version 4; see s3_sign.h.
 *
 * HOW IT WORKS. canonical request = method, path, query, headers, signed names, payload hash; one a
 * line. string to sign = algorithm, date, scope, SHA-256 of that. signature = HMAC-SHA256 of it
 * with a key derived from the secret by day, region and service; the derived key is kept, since it
 * costs four of the five HMACs. Headers are sorted by name, not by line: '-' sorts before ':'.
 *
 * Why libcrypto: SHA-256 of every body over http is the adapter's largest cost, and it uses the
 * processor's instructions for it.
 */
#include "connectors/s3_sign.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char hex_lower[] = "0123456789abcdef";

static void to_hex(const unsigned char bytes[32], char ret_hex[TNI_SHA256_HEX])
{
    for (int i = 0; i < 32; i++) {
        ret_hex[2 * i] = hex_lower[bytes[i] >> 4];
        ret_hex[2 * i + 1] = hex_lower[bytes[i] & 15];
    }
    ret_hex[64] = 0;
}

void tni_sha256_hex(struct tn_str bytes, char ret_hex[TNI_SHA256_HEX])
{
    unsigned char digest[32];
    SHA256((const unsigned char *)(bytes.ptr ? bytes.ptr : ""), bytes.len, digest);
    to_hex(digest, ret_hex);
}

void tni_sign_date(int64_t time_s, char ret_date[TNI_SIGN_DATE])
{
    time_t when = (time_t)time_s;
    struct tm tm;
    gmtime_r(&when, &tm);
    strftime(ret_date, TNI_SIGN_DATE, "%Y%m%dT%H%M%SZ", &tm);
}

/* ---- canonical request ---- */

static bool is_plain(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

void tni_uri_encode(struct tn_str text, bool is_path, struct tn_buf *buf)
{
    static const char hex_upper[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (is_plain(c) || (c == '/' && is_path)) {
            tn_buf_add_byte(buf, (char)c);
        } else {
            char escape[3] = {'%', hex_upper[c >> 4], hex_upper[c & 15]};
            tn_buf_add(buf, escape, 3);
        }
    }
}

/* An encoded name=value within a buffer that may move. */
struct span {
    const struct tn_buf *buf;
    size_t start, name_len, len;
};

static int span_order(const void *a, const void *b)
{
    const struct span *sa = a, *sb = b;
    struct tn_str na = {sa->buf->ptr + sa->start, sa->name_len};
    struct tn_str nb = {sb->buf->ptr + sb->start, sb->name_len};
    int order = tn_str_cmp(na, nb);
    if (order)
        return order;
    struct tn_str va = {sa->buf->ptr + sa->start, sa->len};
    struct tn_str vb = {sb->buf->ptr + sb->start, sb->len};
    return tn_str_cmp(va, vb);
}

/* The sorted, encoded query. */
static void add_query(const struct tni_sign_input *input, struct tn_buf *buf)
{
    struct span spans[TNI_SIGN_PAIRS_MAX];
    struct tn_buf encoded;
    tn_buf_init(&encoded, 64 << 10);
    for (size_t i = 0; i < input->query_count; i++) {
        spans[i] = (struct span){&encoded, encoded.len, 0, 0};
        tni_uri_encode(input->query[i].name, false, &encoded);
        spans[i].name_len = encoded.len - spans[i].start;
        tn_buf_add_byte(&encoded, '=');
        tni_uri_encode(input->query[i].value, false, &encoded);
        spans[i].len = encoded.len - spans[i].start;
    }
    if (input->query_count && !tn_buf_over(&encoded)) {
        qsort(spans, input->query_count, sizeof *spans, span_order);
        for (size_t i = 0; i < input->query_count; i++) {
            if (i)
                tn_buf_add_byte(buf, '&');
            tn_buf_add(buf, encoded.ptr + spans[i].start, spans[i].len);
        }
    }
    if (tn_buf_over(&encoded))
        buf->is_over = true;
    tn_buf_release(&encoded);
}

void tni_sign_target(const struct tni_sign_input *input, struct tn_buf *buf)
{
    tni_uri_encode(tn_str_of(input->path), true, buf);
    if (input->query_count) {
        tn_buf_add_byte(buf, '?');
        add_query(input, buf);
    }
}

static int header_order(const void *a, const void *b)
{
    const struct tni_pair *const *ha = a, *const *hb = b;
    return tn_str_cmp((*ha)->name, (*hb)->name);
}

/* Trimmed, and runs of blanks within as one. */
static void add_header_value(struct tn_str value, struct tn_buf *buf)
{
    size_t start = buf->len;
    bool is_blank = false;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == ' ' || value.ptr[i] == '\t') {
            is_blank = true;
            continue;
        }
        if (is_blank && buf->len > start)
            tn_buf_add_byte(buf, ' ');
        is_blank = false;
        tn_buf_add_byte(buf, value.ptr[i]);
    }
}

static void add_signed_names(const struct tni_pair *const *sorted, size_t count, struct tn_buf *buf)
{
    for (size_t i = 0; i < count; i++) {
        if (i)
            tn_buf_add_byte(buf, ';');
        tn_buf_add_str(buf, sorted[i]->name);
    }
}

static void add_canonical(const struct tni_sign_input *input, const struct tni_pair *const *sorted,
                          struct tn_buf *buf)
{
    tn_buf_add_text(buf, input->method);
    tn_buf_add_byte(buf, '\n');
    tni_uri_encode(tn_str_of(input->path), true, buf);
    tn_buf_add_byte(buf, '\n');
    add_query(input, buf);
    tn_buf_add_byte(buf, '\n');
    for (size_t i = 0; i < input->headers_count; i++) {
        tn_buf_add_str(buf, sorted[i]->name);
        tn_buf_add_byte(buf, ':');
        add_header_value(sorted[i]->value, buf);
        tn_buf_add_byte(buf, '\n');
    }
    tn_buf_add_byte(buf, '\n');
    add_signed_names(sorted, input->headers_count, buf);
    tn_buf_add_byte(buf, '\n');
    tn_buf_add_text(buf, input->payload);
}

/* ---- signature ---- */

static void hmac(const unsigned char *key, size_t key_len, struct tn_str text,
                 unsigned char ret_mac[32])
{
    unsigned len = 32;
    TN_ASSERT(HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text.ptr, text.len,
                   ret_mac, &len) != NULL);
}

static void derive(const struct tni_sign_input *input, const char *date, const char *scope,
                   struct tni_sign_key *key)
{
    unsigned char digest[32], mac[32];
    char first[256];
    SHA256((const unsigned char *)input->secret_key, strlen(input->secret_key), digest);
    if (strcmp(key->scope, scope) == 0 && memcmp(digest, key->secret_sha256, 32) == 0)
        return;
    int len = snprintf(first, sizeof first, "AWS4%s", input->secret_key);
    hmac((const unsigned char *)first, (size_t)len, (struct tn_str){date, 8}, mac);
    hmac(mac, 32, tn_str_of(input->region), mac);
    hmac(mac, 32, tn_str_of(input->service), mac);
    hmac(mac, 32, TN_STR("aws4_request"), key->key);
    explicit_bzero(first, sizeof first);
    memcpy(key->secret_sha256, digest, 32);
    snprintf(key->scope, sizeof key->scope, "%s", scope);
}

enum tn_status tni_s3_sign(const struct tni_sign_input *input, struct tni_sign_key *key,
                           struct tn_buf *scratch, struct tn_buf *ret_authorization,
                           char ret_canonical_hash[TNI_SHA256_HEX], struct tn_err *err)
{
    const struct tni_pair *sorted[TNI_SIGN_PAIRS_MAX];
    char date[TNI_SIGN_DATE], scope[160], hash[TNI_SHA256_HEX], text[320];
    unsigned char mac[32];
    if (input->headers_count > TNI_SIGN_PAIRS_MAX || input->query_count > TNI_SIGN_PAIRS_MAX ||
        strlen(input->secret_key) > 240 || strlen(input->region) + strlen(input->service) > 100)
        return tn_err_set(err, TN_E_LIMIT, "a request has too many parts to sign it");
    for (size_t i = 0; i < input->headers_count; i++)
        sorted[i] = &input->headers[i];
    qsort(sorted, input->headers_count, sizeof *sorted, header_order);
    tn_buf_reset(scratch);
    add_canonical(input, sorted, scratch);
    if (tn_buf_over(scratch))
        return tn_err_set(err, TN_E_LIMIT, "a request is too long to sign it");
    tni_sha256_hex(tn_buf_str(scratch), hash);
    if (ret_canonical_hash)
        memcpy(ret_canonical_hash, hash, sizeof hash);
    tni_sign_date(input->time_s, date);
    snprintf(scope, sizeof scope, "%.8s/%s/%s/aws4_request", date, input->region, input->service);
    derive(input, date, scope, key);
    int len = snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, hash);
    hmac(key->key, 32, (struct tn_str){text, (size_t)len}, mac);
    to_hex(mac, hash);
    tn_buf_printf(ret_authorization,
                  "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=", input->access_key, scope);
    add_signed_names(sorted, input->headers_count, ret_authorization);
    tn_buf_printf(ret_authorization, ", Signature=%s", hash);
    return tn_buf_over(ret_authorization)
               ? tn_err_set(err, TN_E_LIMIT, "a request is too long to sign it")
               : TN_OK;
}
