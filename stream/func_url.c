/* Parts of URLs (RFC 3986, appendix B) and percent encoding. @thread the running one */
#include "stream/base/utf8.h"
#include "stream/func_int.h"

struct url {
    struct tn_str protocol, host, path, query, fragment; /* ptr NULL = absent */
    int64_t port;                                        /* −1 = absent */
};

static struct tn_str until(const char **io_p, const char *end, const char *stops)
{
    const char *from = *io_p, *p = from;
    while (p < end && !strchr(stops, *p))
        p++;
    *io_p = p;
    return (struct tn_str){from, (size_t)(p - from)};
}

static bool is_scheme(struct tn_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_letter = (c | 32u) >= 'a' && (c | 32u) <= 'z';
        if (!is_letter && (i == 0 || !strchr("0123456789+-.", c)))
            return false;
    }
    return text.len > 0;
}

static void parse_authority(struct tn_str text, struct url *url)
{
    for (size_t i = text.len; i > 0; i--) {
        if (text.ptr[i - 1] != '@')
            continue;
        text.ptr += i;
        text.len -= i;
        break;
    }
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] >= '0' && text.ptr[colon - 1] <= '9')
        colon--;
    if (colon > 0 && colon < text.len && text.ptr[colon - 1] == ':' && text.len - colon <= 5) {
        url->port = 0;
        for (size_t i = colon; i < text.len; i++)
            url->port = url->port * 10 + (text.ptr[i] - '0');
        text.len = colon - 1;
    }
    url->host = text;
}

static bool parse_url(struct tn_str text, struct url *url)
{
    const char *p = text.ptr, *end = p + text.len;
    *url = (struct url){.port = -1};
    for (const char *q = p; q < end; q++)
        if ((unsigned char)*q <= ' ')
            return false;
    const char *at = p;
    struct tn_str scheme = until(&at, end, ":/?#");
    if (at < end && *at == ':' && is_scheme(scheme)) {
        url->protocol = scheme;
        p = at + 1;
    }
    if (end - p >= 2 && p[0] == '/' && p[1] == '/') {
        p += 2;
        parse_authority(until(&p, end, "/?#"), url);
    }
    url->path = until(&p, end, "?#");
    if (p < end && *p == '?') {
        p++;
        url->query = until(&p, end, "#");
    }
    if (p < end && *p == '#')
        url->fragment = (struct tn_str){p + 1, (size_t)(end - p - 1)};
    return true;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False on a bad escape. Malformed UTF-8 is repaired by the caller. */
static bool decode(struct tn_str text, bool is_plus_blank, struct tn_buf *buf)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_of(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_of(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && is_plus_blank) {
            c = ' ';
        }
        tn_buf_add_byte(buf, c);
    }
    return true;
}

static void add_repaired(struct tni_text *out, const struct tn_buf *bytes)
{
    struct tn_buf buf;
    tn_buf_init(&buf, bytes->len * 3 + 16);
    tn_utf8_repair(tn_buf_str(bytes), &buf);
    tni_text_add(out, tn_buf_str(&buf));
    tn_buf_release(&buf);
}

/* Value of the first parameter of that name, decoded. */
static bool find_parameter(struct tn_str query, struct tn_str name, struct tn_buf *buf)
{
    const char *p = query.ptr, *end = p + query.len;
    while (query.ptr && p < end) {
        struct tn_str pair = until(&p, end, "&");
        p += p < end;
        const char *q = pair.ptr, *pair_end = q + pair.len;
        struct tn_str key = until(&q, pair_end, "=");
        tn_buf_reset(buf);
        if (!decode(key, true, buf) || !tn_str_eq(tn_buf_str(buf), name))
            continue;
        q += q < pair_end;
        tn_buf_reset(buf);
        return decode((struct tn_str){q, (size_t)(pair_end - q)}, true, buf);
    }
    return false;
}

static struct tn_str part_of(const struct url *url, char which)
{
    switch (which) {
    case 'h': return url->host;
    case 'p': return url->path;
    case 'q': return url->query;
    case 'f': return url->fragment;
    default: return url->protocol;
    }
}

static void part(struct tn_call *call, char which)
{
    struct tni_text out;
    struct tn_buf buf;
    tn_buf_init(&buf, (size_t)1 << 20);
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct url url;
        if (tni_row_ok(call, row)) {
            bool is_url = parse_url(tni_arg_str(call, 0, row), &url);
            struct tn_str text = is_url ? part_of(&url, which) : (struct tn_str){0};
            tn_buf_reset(&buf);
            if (!is_url && call->func->flags & TN_FN_STREAM)
                tni_error_argument(call, row, "text is not a URL");
            else if (!text.ptr)
                tni_null(call, row);
            else if (decode(text, false, &buf))
                add_repaired(&out, &buf);
            else
                tni_text_add(&out, text);
        }
        tni_text_end(&out);
    }
    tn_buf_release(&buf);
    tni_text_close(&out);
}

static void kernel_protocol(struct tn_call *call)
{
    part(call, 's');
}
static void kernel_host(struct tn_call *call)
{
    part(call, 'h');
}
static void kernel_path(struct tn_call *call)
{
    part(call, 'p');
}
static void kernel_query(struct tn_call *call)
{
    part(call, 'q');
}
static void kernel_fragment(struct tn_call *call)
{
    part(call, 'f');
}

static void kernel_port(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct url url;
        if (!tni_row_ok(call, row))
            continue;
        if (!parse_url(tni_arg_str(call, 0, row), &url) || url.port < 0)
            tni_null(call, row);
        else if (call->type->kind == TN_K_INTEGER)
            TNI_OUT(call, int32_t)[row] = (int32_t)url.port;
        else
            TNI_OUT(call, int64_t)[row] = url.port;
    }
}

static void kernel_parameter(struct tn_call *call)
{
    struct tni_text out;
    struct tn_buf buf;
    tn_buf_init(&buf, (size_t)1 << 20);
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct url url;
        if (tni_row_ok(call, row)) {
            if (parse_url(tni_arg_str(call, 0, row), &url) &&
                find_parameter(url.query, tni_arg_str(call, 1, row), &buf))
                add_repaired(&out, &buf);
            else
                tni_null(call, row);
        }
        tni_text_end(&out);
    }
    tn_buf_release(&buf);
    tni_text_close(&out);
}

/* application/x-www-form-urlencoded, as java.net.URLEncoder: letters, digits and ".-*_" stay, blank
 * is +. */
static void kernel_encode(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str text = tni_row_ok(call, row) ? tni_arg_str(call, 0, row) : TN_STR("");
        char *to = tni_text_reserve(&out, text.len * 3);
        for (size_t i = 0; i < text.len; i++) {
            unsigned char c = (unsigned char)text.ptr[i];
            bool is_plain = ((c | 32u) >= 'a' && (c | 32u) <= 'z') || (c >= '0' && c <= '9') ||
                            (c && strchr(".-*_", c));
            if (is_plain || c == ' ') {
                *to++ = c == ' ' ? '+' : (char)c;
                out.len++;
                continue;
            }
            *to++ = '%';
            *to++ = "0123456789ABCDEF"[c >> 4];
            *to++ = "0123456789ABCDEF"[c & 15u];
            out.len += 3;
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void kernel_decode(struct tn_call *call)
{
    struct tni_text out;
    struct tn_buf buf;
    tn_buf_init(&buf, (size_t)64 << 20);
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            tn_buf_reset(&buf);
            if (decode(tni_arg_str(call, 0, row), true, &buf))
                add_repaired(&out, &buf);
            else
                tni_error_argument(call, row, "'%%' must be followed by two hexadecimal digits");
        }
        tni_text_end(&out);
    }
    tn_buf_release(&buf);
    tni_text_close(&out);
}

#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM
/* the same under both rules, except that a malformed URL fails under stream rules */
#define URL(NAME, ARGS, FN, HELP)                                                                  \
    TNI_FN(NAME, QUERY, ARGS, VARCHAR, FN, HELP), TNI_FN(NAME, STREAM, ARGS, VARCHAR, FN, HELP)

static const struct tn_func rows[] = {
    URL("url_extract_protocol", "s", kernel_protocol, "protocol of a URL"),
    URL("url_extract_host", "s", kernel_host, "host of a URL"),
    TNI_FN("url_extract_port", QUERY, "s", BIGINT, kernel_port, "port of a URL"),
    TNI_FN("url_extract_port", STREAM, "s", INTEGER, kernel_port, "port of a URL"),
    URL("url_extract_path", "s", kernel_path, "path of a URL"),
    URL("url_extract_query", "s", kernel_query, "query of a URL"),
    URL("url_extract_fragment", "s", kernel_fragment, "fragment of a URL"),
    URL("url_extract_parameter", "ss", kernel_parameter, "value of a parameter of a URL"),
    TNI_FN("url_encode", QUERY, "s", VARCHAR, kernel_encode, "text for use in a URL"),
    TNI_FN("url_decode", QUERY, "s", VARCHAR, kernel_decode, "text from a URL"),
    TNI_FN("url_encode_param", STREAM, "s", VARCHAR, kernel_encode, "text for use in a URL"),
    TNI_FN("url_decode_param", STREAM, "s", VARCHAR, kernel_decode, "text from a URL"),
};

TNI_TABLE(url);
