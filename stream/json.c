/* JSON by slices. Skipping a value keeps the open brackets in a bit stack, so depth costs no
 * recursion. Grammar: RFC 8259. @thread any */
#include "stream/json.h"

#include "stream/base/utf8.h"

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* p at the opening quote; returns behind the closing one, NULL when malformed. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"')
            return p + 1;
        if (c < 32)
            return NULL;
        if (c != '\\')
            continue;
        if (++p == end)
            return NULL;
        if (*p == 'u') {
            if (end - p < 5 || !is_hex(p[1]) || !is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4]))
                return NULL;
            p += 4;
        } else if (!strchr("\"\\/bfnrt", *p)) {
            return NULL;
        }
    }
    return NULL;
}

static const char *skip_digits(const char *p, const char *end)
{
    const char *from = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p > from ? p : NULL;
}

static const char *skip_number(const char *p, const char *end)
{
    p += *p == '-';
    if (p == end)
        return NULL;
    p = *p == '0' ? p + 1 : skip_digits(p, end);
    if (p && p < end && *p == '.')
        p = skip_digits(p + 1, end);
    if (p && p < end && (*p | 32) == 'e') {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        p = skip_digits(p, end);
    }
    return p;
}

static const char *skip_word(const char *p, const char *end, const char *word)
{
    size_t len = strlen(word);
    return (size_t)(end - p) >= len && memcmp(p, word, len) == 0 ? p + len : NULL;
}

static const char *skip_scalar(const char *p, const char *end, enum tni_json_kind *ret_kind)
{
    switch (*p) {
    case '"': *ret_kind = TNI_JSON_STRING; return skip_string(p, end);
    case 't': *ret_kind = TNI_JSON_TRUE; return skip_word(p, end, "true");
    case 'f': *ret_kind = TNI_JSON_FALSE; return skip_word(p, end, "false");
    case 'n': *ret_kind = TNI_JSON_NULL; return skip_word(p, end, "null");
    default: *ret_kind = TNI_JSON_NUMBER; return skip_number(p, end);
    }
}

/* "name" : */
static const char *skip_key(const char *p, const char *end)
{
    p = skip_blanks(p, end);
    if (p == end || *p != '"' || !(p = skip_string(p, end)))
        return NULL;
    p = skip_blanks(p, end);
    return p < end && *p == ':' ? p + 1 : NULL;
}

/* p behind the opening bracket of an object or array. */
static const char *skip_nested(const char *p, const char *end, bool is_object)
{
    uint64_t stack[TNI_JSON_DEPTH_MAX / 64] = {is_object};
    unsigned depth = 1;
    bool is_fresh = true; /* directly behind an opening bracket */
    while (depth > 0) {
        bool in_object = stack[(depth - 1) / 64] >> ((depth - 1) % 64) & 1;
        p = skip_blanks(p, end);
        if (p == end)
            return NULL;
        bool is_close = *p == (in_object ? '}' : ']');
        if (is_close) {
            depth--;
            p++;
            is_fresh = false;
            continue;
        }
        if (!is_fresh && *p++ != ',')
            return NULL;
        if (in_object && !(p = skip_key(p, end)))
            return NULL;
        p = skip_blanks(p, end);
        if (p == end)
            return NULL;
        if (*p == '{' || *p == '[') {
            if (depth == TNI_JSON_DEPTH_MAX)
                return NULL;
            uint64_t bit = UINT64_C(1) << (depth % 64);
            stack[depth / 64] = *p == '{' ? stack[depth / 64] | bit : stack[depth / 64] & ~bit;
            depth++;
            p++;
            is_fresh = true;
            continue;
        }
        enum tni_json_kind kind;
        if (!(p = skip_scalar(p, end, &kind)))
            return NULL;
        is_fresh = false;
    }
    return p;
}

bool tni_json_read(const char **io_ptr, const char *end, struct tni_json *ret_value)
{
    const char *from = skip_blanks(*io_ptr, end), *p;
    enum tni_json_kind kind;
    if (from == end)
        return false;
    if (*from == '{' || *from == '[') {
        kind = *from == '{' ? TNI_JSON_OBJECT : TNI_JSON_ARRAY;
        p = skip_nested(from + 1, end, *from == '{');
    } else {
        p = skip_scalar(from, end, &kind);
    }
    if (!p)
        return false;
    *ret_value = (struct tni_json){kind, {from, (size_t)(p - from)}};
    *io_ptr = p;
    return true;
}

bool tni_json_whole(struct tn_str text, struct tni_json *ret_value)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    struct tni_json value;
    if (!tni_json_read(&p, end, &value) || skip_blanks(p, end) != end)
        return false;
    *ret_value = value;
    return true;
}

static uint32_t hex4(const char *p)
{
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        code = code << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return code;
}

static char *put_escape(const char **io_p, const char *end, char *to)
{
    const char *p = *io_p;
    static const char from[] = "bfnrt", into[] = "\b\f\n\r\t";
    if (*p != 'u') {
        const char *at = strchr(from, *p);
        *to++ = at ? into[at - from] : *p;
        *io_p = p + 1;
        return to;
    }
    uint32_t code = hex4(p + 1);
    p += 5;
    if (code >= 0xD800 && code < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        uint32_t low = hex4(p + 2);
        if (low >= 0xDC00 && low < 0xE000) {
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            p += 6;
        }
    }
    *io_p = p;
    return to + tn_utf8_put(code, to);
}

struct tn_str tni_json_text(const struct tni_json *value, struct tn_arena *arena)
{
    TN_ASSERT(value->kind == TNI_JSON_STRING && value->raw.len >= 2);
    const char *p = value->raw.ptr + 1, *end = value->raw.ptr + value->raw.len - 1;
    size_t len = (size_t)(end - p);
    if (!memchr(p, '\\', len))
        return (struct tn_str){p, len};
    char *text = tn_arena_alloc(arena, len + 4), *to = text; /* an escape is never shorter */
    while (p < end) {
        if (*p != '\\') {
            *to++ = *p++;
            continue;
        }
        p++;
        to = put_escape(&p, end, to);
    }
    return (struct tn_str){text, (size_t)(to - text)};
}

void tni_json_open(const struct tni_json *value, struct tni_json_iter *iter)
{
    bool is_object = value->kind == TNI_JSON_OBJECT;
    if (!is_object && value->kind != TNI_JSON_ARRAY) {
        *iter = (struct tni_json_iter){value->raw.ptr, value->raw.ptr, false};
        return;
    }
    *iter =
        (struct tni_json_iter){value->raw.ptr + 1, value->raw.ptr + value->raw.len - 1, is_object};
}

bool tni_json_next(struct tni_json_iter *iter, struct tni_json *ret_key, struct tni_json *ret_value)
{
    const char *p = skip_blanks(iter->ptr, iter->end);
    if (p < iter->end && *p == ',')
        p++;
    p = skip_blanks(p, iter->end);
    if (p == iter->end)
        return false;
    if (iter->is_object) {
        const char *key_end = skip_string(p, iter->end);
        TN_ASSERT(key_end); /* checked by tni_json_read */
        *ret_key = (struct tni_json){TNI_JSON_STRING, {p, (size_t)(key_end - p)}};
        p = skip_blanks(key_end, iter->end) + 1;
    }
    bool is_value = tni_json_read(&p, iter->end, ret_value);
    TN_ASSERT(is_value);
    iter->ptr = p;
    return true;
}

/* ---- paths ---- */

static const char *path_name(const char *p, const char *end, struct tni_json_step *step)
{
    const char *from = p;
    while (p < end && *p != '.' && *p != '[')
        p++;
    step->name = (struct tn_str){from, (size_t)(p - from)};
    return p > from ? p : NULL;
}

static const char *path_bracket(const char *p, const char *end, struct tni_json_step *step)
{
    if (p < end && (*p == '"' || *p == '\'')) {
        const char *close = memchr(p + 1, *p, (size_t)(end - p - 1));
        if (!close || end - close < 2 || close[1] != ']')
            return NULL;
        step->name = (struct tn_str){p + 1, (size_t)(close - p - 1)};
        return close + 2;
    }
    bool is_negative = p < end && *p == '-';
    p += is_negative;
    const char *digits = p;
    int64_t index = 0;
    for (; p < end && *p >= '0' && *p <= '9' && p - digits < 10; p++)
        index = index * 10 + (*p - '0');
    if (p == digits || p == end || *p != ']')
        return NULL;
    *step = (struct tni_json_step){.index = is_negative ? -index : index};
    return p + 1;
}

bool tni_json_path_parse(struct tn_str text, struct tni_json_path *ret_path)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    struct tni_json_path path = {0};
    if (p < end && *p == '$')
        p++;
    else if (p < end && *p != '[') { /* a bare name is the first step */
        if (!(p = path_name(p, end, &path.steps[path.count++])))
            return false;
    }
    while (p < end) {
        if (path.count == TNI_JSON_STEPS_MAX)
            return false;
        struct tni_json_step *step = &path.steps[path.count++];
        bool is_bracket = *p == '[';
        if (!is_bracket && *p != '.')
            return false;
        p = is_bracket ? path_bracket(p + 1, end, step) : path_name(p + 1, end, step);
        if (!p)
            return false;
    }
    *ret_path = path;
    return true;
}

static bool find_member(const struct tni_json *object, struct tn_str name, struct tn_arena *arena,
                        struct tni_json *ret_value)
{
    struct tni_json_iter iter;
    struct tni_json key, value;
    bool is_found = false;
    if (object->kind != TNI_JSON_OBJECT)
        return false;
    tni_json_open(object, &iter);
    while (!is_found && tni_json_next(&iter, &key, &value)) {
        if (tn_str_eq(tni_json_text(&key, arena), name)) {
            *ret_value = value;
            is_found = true;
        }
    }
    return is_found;
}

static bool find_element(const struct tni_json *array, int64_t index, struct tni_json *ret_value)
{
    struct tni_json_iter iter;
    struct tni_json key, value;
    if (array->kind != TNI_JSON_ARRAY)
        return false;
    int64_t count = 0;
    if (index < 0) {
        for (tni_json_open(array, &iter); tni_json_next(&iter, &key, &value);)
            count++;
        index += count;
    }
    tni_json_open(array, &iter);
    for (int64_t i = 0; index >= 0 && tni_json_next(&iter, &key, &value); i++) {
        if (i == index) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

bool tni_json_find(const struct tni_json *root, const struct tni_json_path *path,
                   struct tn_arena *arena, struct tni_json *ret_value)
{
    struct tni_json at = *root;
    for (uint32_t i = 0; i < path->count; i++) {
        const struct tni_json_step *step = &path->steps[i];
        bool is_found = step->name.ptr ? find_member(&at, step->name, arena, &at)
                                       : find_element(&at, step->index, &at);
        if (!is_found)
            return false;
    }
    *ret_value = at;
    return true;
}

void tni_json_compact(const struct tni_json *value, struct tn_buf *buf)
{
    const char *p = value->raw.ptr, *end = p + value->raw.len;
    while (p < end) {
        const char *from = p;
        if (*p == '"') {
            p = skip_string(p, end);
            TN_ASSERT(p);
            tn_buf_add(buf, from, (size_t)(p - from));
            continue;
        }
        if (*p != ' ' && *p != '\t' && *p != '\n' && *p != '\r')
            tn_buf_add_byte(buf, *p);
        p++;
    }
}
