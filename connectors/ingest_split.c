/* Bodies of ingest requests: JSON split into elements, each checked byte by byte; default members.
 * Pure functions over slices (the HTTP body fuzzer drives them). @thread any
 */
#include "connectors/ingest_int.h"

#include <assert.h>

#include "stream/base/mem.h"

void tni_ingest_elements_release(struct tni_elements *elements)
{
    tn_free(elements->items);
    *elements = (struct tni_elements){0};
}

enum tn_status tni_ingest_syntax(struct tn_str body, const char *at, const char *reason,
                                 struct tn_err *err)
{
    int line = 1;
    const char *from = body.ptr;
    TN_ASSERT(at >= body.ptr && at <= body.ptr + body.len);
    for (const char *p = body.ptr; (p = memchr(p, '\n', (size_t)(at - p))) != NULL; p++) {
        line++;
        from = p + 1;
    }
    int64_t col = at - from + 1;
    return tn_err_at(err, TN_E_SYNTAX, "INVALID_JSON", line, col < INT32_MAX ? (int)col : 0,
                     "the body is not JSON at line %d, byte %lld: %s; nothing was stored", line,
                     (long long)col, reason);
}

static enum tn_status element_add(struct tni_elements *elements, const char *from, const char *to,
                                  struct tn_err *err)
{
    if (elements->count == elements->cap) {
        if (elements->count >= TNI_INGEST_ELEMENTS_MAX) {
            enum tn_status st = tn_err_set(err, TN_E_LIMIT, "the body has more than %u elements",
                                           TNI_INGEST_ELEMENTS_MAX);
            tn_err_hint(err, "send it in smaller parts");
            return st;
        }
        elements->cap = elements->cap ? elements->cap * 2 : 16;
        elements->items = tn_realloc(elements->items, elements->cap * sizeof *elements->items);
    }
    elements->items[elements->count++] = (struct tn_str){from, (size_t)(to - from)};
    return TN_OK;
}

static enum tn_status split_array(struct tn_str body, struct tn_json *json,
                                  struct tni_elements *elements, struct tn_err *err)
{
    json->p++;
    for (bool is_first = true;; is_first = false) {
        bool is_done;
        if (!tn_json_element(json, is_first, &is_done))
            return tni_ingest_syntax(body, json->p, json->reason, err);
        if (is_done)
            break;
        const char *from = json->p;
        if (!tn_json_skip(json))
            return tni_ingest_syntax(body, json->p, json->reason, err);
        TN_TRY(element_add(elements, from, json->p, err));
    }
    tn_json_space(json);
    if (json->p != json->end)
        return tni_ingest_syntax(body, json->p, "text after the array", err);
    return TN_OK;
}

static enum tn_status split_sequence(struct tn_str body, struct tn_json *json,
                                     struct tni_elements *elements, struct tn_err *err)
{
    while (json->p < json->end) {
        const char *from = json->p;
        if (!tn_json_skip(json))
            return tni_ingest_syntax(body, json->p, json->reason, err);
        TN_TRY(element_add(elements, from, json->p, err));
        const char *after = json->p;
        tn_json_space(json);
        if (json->p < json->end && json->p == after)
            return tni_ingest_syntax(body, json->p, "text after the JSON value", err);
    }
    return TN_OK;
}

/* One line by the scanner: its value, trimmed, if there is one. */
static enum tn_status split_line(struct tn_str body, const char *p, const char *line_end,
                                 bool is_checked_later, struct tni_elements *elements,
                                 struct tn_err *err)
{
    struct tn_json json = {p, line_end, NULL, TNI_INGEST_DEPTH_MAX};
    tn_json_space(&json);
    const char *from = json.p, *to = json.end;
    while (to > from && (to[-1] == '\r' || to[-1] == ' ' || to[-1] == '\t'))
        to--;
    if (from == to)
        return TN_OK;
    if (!is_checked_later && !tn_json_check(&json))
        return tni_ingest_syntax(body, json.p, json.reason, err);
    return element_add(elements, from, to, err);
}

static enum tn_status split_lines(struct tn_str body, bool is_checked_later,
                                  struct tni_elements *elements, struct tn_err *err)
{
    const char *p = body.ptr, *end = body.ptr + body.len;
    while (p < end) {
        const char *to = is_checked_later ? NULL : tn_json_line(p, end);
        if (to && *to == '\n') { /* the quick way; before `end` */
            TN_TRY(element_add(elements, p, to, err));
            p = to + 1;
            continue;
        }
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *line_end = newline ? newline : end;
        TN_TRY(split_line(body, p, line_end, is_checked_later, elements, err));
        p = newline ? newline + 1 : end;
    }
    return TN_OK;
}

enum tn_status tni_ingest_split(struct tn_str body, enum tni_ingest_form form,
                                bool is_checked_later, struct tni_elements *elements,
                                struct tn_err *err)
{
    struct tn_json json = {body.ptr, body.ptr + body.len, NULL, TNI_INGEST_DEPTH_MAX};
    tn_json_space(&json);
    if (json.p == json.end) {
        enum tn_status st = tn_err_set(err, TN_E_SYNTAX, "the body is empty; nothing was stored");
        tn_err_hint(err, "send one JSON object, an array of them, or one a line");
        return st;
    }
    if (form == TNI_FORM_LINES)
        return split_lines(body, is_checked_later, elements, err);
    if (*json.p == '[')
        return split_array(body, &json, elements, err);
    return split_sequence(body, &json, elements, err);
}

/* ---- default members ---- */

enum tn_status tni_ingest_defaults_parse(const char *text, struct tni_defaults *ret_defaults,
                                         struct tn_err *err)
{
    struct tn_json json = {text, text + strlen(text), NULL, TNI_INGEST_DEPTH_MAX};
    struct tni_defaults defaults = {0};
    unsigned flags;
    tn_json_space(&json);
    if (json.p == json.end || *json.p != '{')
        return tn_err_set(err, TN_E_INVALID, "INGEST_DEFAULTS must be a JSON object, not '%s'",
                          text);
    json.p++;
    for (bool is_first = true, is_done = false;; is_first = false) {
        const char *from;
        struct tn_str name;
        if (!tn_json_member(&json, is_first, &is_done, &name, &flags))
            break;
        if (is_done) {
            tn_json_space(&json);
            if (json.p != json.end)
                break;
            *ret_defaults = defaults;
            return TN_OK;
        }
        from = name.ptr - 1;
        if (!tn_json_skip(&json))
            break;
        if (defaults.count == TNI_INGEST_DEFAULTS_MAX)
            return tn_err_set(err, TN_E_LIMIT, "INGEST_DEFAULTS has more than %d members",
                              TNI_INGEST_DEFAULTS_MAX);
        defaults.names[defaults.count] = name;
        defaults.members[defaults.count++] = (struct tn_str){from, (size_t)(json.p - from)};
    }
    return tn_err_set(err, TN_E_INVALID, "INGEST_DEFAULTS is not valid JSON: %s",
                      json.reason ? json.reason : "text after the object");
}

/* Bit i: the object has default member i. Checked JSON. Returns where the closing brace is. */
static const char *members_present(const struct tni_defaults *defaults, struct tn_str object,
                                   uint32_t *ret_present, bool *ret_is_empty)
{
    struct tn_json json = {object.ptr + 1, object.ptr + object.len, NULL, TNI_INGEST_DEPTH_MAX};
    struct tn_str name;
    unsigned flags;
    bool is_done, is_first = true;
    *ret_present = 0;
    while (tn_json_member(&json, is_first, &is_done, &name, &flags) && !is_done) {
        is_first = false;
        for (uint32_t i = 0; i < defaults->count; i++)
            if (tn_str_eq_nocase(name, defaults->names[i]))
                *ret_present |= 1u << i;
        if (!tn_json_skip(&json))
            break;
    }
    *ret_is_empty = is_first;
    return json.p - 1;
}

void tni_ingest_defaults_apply(const struct tni_defaults *defaults, struct tn_str element,
                               struct tn_buf *buf)
{
    uint32_t present;
    bool is_empty;
    static_assert(TNI_INGEST_DEFAULTS_MAX <= 32, "one bit each");
    if (element.len < 2 || element.ptr[0] != '{') {
        tn_buf_add_str(buf, element);
        return;
    }
    const char *brace = members_present(defaults, element, &present, &is_empty);
    tn_buf_add(buf, element.ptr, (size_t)(brace - element.ptr));
    for (uint32_t i = 0; i < defaults->count; i++) {
        if (present >> i & 1u)
            continue;
        if (!is_empty)
            tn_buf_add_byte(buf, ',');
        tn_buf_add_str(buf, defaults->members[i]);
        is_empty = false;
    }
    tn_buf_add_byte(buf, '}');
}

bool tni_json_member_text(struct tn_str object, struct tn_str want, struct tn_buf *buf)
{
    struct tn_json json = {object.ptr, object.ptr + object.len, NULL, TNI_INGEST_DEPTH_MAX};
    struct tn_str name, text;
    unsigned flags;
    bool is_done, is_first = true;
    tn_json_space(&json);
    if (json.p == json.end || *json.p != '{')
        return false;
    json.p++;
    while (tn_json_member(&json, is_first, &is_done, &name, &flags) && !is_done) {
        const char *from = json.p;
        bool is_string = *from == '"';
        is_first = false;
        if (is_string ? !tn_json_string(&json, &text, &flags) : !tn_json_skip(&json))
            return false;
        if (!tn_str_eq_nocase(name, want))
            continue;
        if (!is_string) {
            tn_buf_add(buf, from, (size_t)(json.p - from));
            return true;
        }
        char *to = tn_buf_reserve(buf, text.len);
        if (to)
            buf->len += tn_json_unescape(text, to);
        return true;
    }
    return false;
}
