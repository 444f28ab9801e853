/* The rare paths of the JSON scanner: escapes, multi-byte UTF-8, nested values. Nested values are
 * walked with a small stack of brackets instead of recursion, so depth costs neither stack frames
 * nor speed. */
#include "connectors/json_scan.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int hex4(const char *p, const char *end)
{
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

const char *tn_json_escape(struct tn_json *json, const char *p)
{
    if (json->end - p < 2) {
        tn_json_fail(json, json->end, "string without closing quote");
        return NULL;
    }
    if (p[1] != 'u') {
        if (p[1] != 0 && strchr("\"\\/bfnrt", p[1]))
            return p + 2;
        tn_json_fail(json, p, "unknown escape");
        return NULL;
    }
    int unit = hex4(p + 2, json->end);
    if (unit < 0) {
        tn_json_fail(json, p, "expected four hex digits after \\u");
        return NULL;
    }
    if (unit < 0xD800 || unit > 0xDFFF)
        return p + 6;
    int low = -1;
    if (unit <= 0xDBFF && json->end - p >= 12 && p[6] == '\\' && p[7] == 'u')
        low = hex4(p + 8, json->end);
    if (low < 0xDC00 || low > 0xDFFF) {
        tn_json_fail(json, p, "lone surrogate");
        return NULL;
    }
    return p + 12;
}

size_t tn_json_unescape(struct tn_str text, char *to)
{
    static const char plain[128] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                    ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    char *out = to;
    const char *p = text.ptr, *end = text.ptr + text.len;
    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        size_t n = (size_t)((slash ? slash : end) - p);
        memmove(out, p, n);
        out += n;
        p += n;
        if (!slash)
            break;
        if (p[1] != 'u') {
            *out++ = plain[(unsigned char)p[1] & 127u];
            p += 2;
            continue;
        }
        unsigned cp = (unsigned)hex4(p + 2, end);
        p += 6;
        if (cp >= 0xD800 && cp <= 0xDBFF) {
            cp = 0x10000 + ((cp - 0xD800) << 10) + ((unsigned)hex4(p + 2, end) - 0xDC00);
            p += 6;
        }
        out += tn_utf8_put(cp, out);
    }
    return (size_t)(out - to);
}

/* Member name and colon inside an object; p at the name's quote. */
static bool skip_name(struct tn_json *json)
{
    struct tn_str name;
    unsigned flags;
    if (json->p >= json->end || *json->p != '"')
        return tn_json_fail(json, json->p, "expected a member name in quotes");
    if (!tn_json_string(json, &name, &flags))
        return false;
    tn_json_space(json);
    if (json->p >= json->end || *json->p != ':')
        return tn_json_fail(json, json->p, "expected ':'");
    json->p++;
    tn_json_space(json);
    return true;
}

/* After a complete value inside brackets: closes those that end here, or steps over one comma. */
static bool skip_after_value(struct tn_json *json, const uint8_t *is_object, uint32_t *depth)
{
    while (*depth > 0) {
        bool in_object = is_object[*depth - 1];
        tn_json_space(json);
        if (json->p >= json->end)
            return tn_json_fail(json, json->end,
                                in_object ? "object without closing brace"
                                          : "array without closing bracket");
        char c = *json->p;
        if (c == ',') {
            json->p++;
            tn_json_space(json);
            return in_object ? skip_name(json) : true;
        }
        if (c != (in_object ? '}' : ']'))
            return tn_json_fail(json, json->p,
                                in_object ? "expected ',' or '}'" : "expected ',' or ']'");
        json->p++;
        --*depth;
    }
    return true;
}

/* Bracket at p: push it and step to its first value; *ret_empty when it closes at once. */
static bool skip_open(struct tn_json *json, uint8_t *is_object, uint32_t *depth, bool *ret_empty)
{
    bool opens_object = *json->p == '{';
    if (*depth >= json->depth_max)
        return tn_json_fail(json, json->p, "nested too deep");
    json->p++;
    tn_json_space(json);
    *ret_empty = json->p < json->end && *json->p == (opens_object ? '}' : ']');
    if (*ret_empty) {
        json->p++;
        return true;
    }
    is_object[(*depth)++] = opens_object;
    return opens_object ? skip_name(json) : true;
}

bool tn_json_skip_nested(struct tn_json *json)
{
    uint8_t is_object[TN_JSON_DEPTH_MAX];
    uint32_t depth = 0;
    TN_DCHECK(json->depth_max <= TN_JSON_DEPTH_MAX);
    do {
        if (json->p >= json->end)
            return tn_json_fail(json, json->end, "unexpected end of input");
        if (*json->p == '{' || *json->p == '[') {
            bool is_empty;
            if (!skip_open(json, is_object, &depth, &is_empty))
                return false;
            if (!is_empty)
                continue;
        } else if (!tn_json_skip(json)) {
            return false;
        }
        if (!skip_after_value(json, is_object, &depth))
            return false;
    } while (depth > 0);
    return true;
}
