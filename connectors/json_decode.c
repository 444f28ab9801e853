/* JSON decoder: one pass over each record checks every byte and stores the members that a plan
 * reads straight into columns. No tree, no per-event allocation.
 *
 * Reading rules: a member equals the column's name exactly, else without case (with is_case_exact:
 * only if its upper-case form is the name); an exact match beats a case-blind one, otherwise the
 * last wins. Missing or null = NULL, unknown members ignored, top-level null = null row. One bad
 * field fails the whole record unless lenient.
 */
#include <ctype.h>

#include "connectors/decode_run.h"
#include "connectors/format_json.h"
#include "connectors/text_value.h"
#include "stream/base/base64.h"

/* Equal bytes of equal length, without a call for the short names that members have. */
static inline bool same_name(const char *a, const char *b, size_t len)
{
    uint64_t x8, y8;
    uint32_t x4, y4;
    if (len > 16)
        return memcmp(a, b, len) == 0;
    if (len >= 8) {
        memcpy(&x8, a, 8);
        memcpy(&y8, b, 8);
        uint64_t head = x8 ^ y8;
        memcpy(&x8, a + len - 8, 8);
        memcpy(&y8, b + len - 8, 8);
        return (head | (x8 ^ y8)) == 0;
    }
    if (len >= 4) {
        memcpy(&x4, a, 4);
        memcpy(&y4, b, 4);
        uint32_t head = x4 ^ y4;
        memcpy(&x4, a + len - 4, 4);
        memcpy(&y4, b + len - 4, 4);
        return (head | (x4 ^ y4)) == 0;
    }
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* Does the raw spelling `name` mean column `col`? 2 exactly, 1 case-blind, 0 no. */
static int name_match(const struct tni_json_codec *codec, int col, struct tn_str name)
{
    struct tn_str want = codec->schema.fields[col].name;
    if (want.len != name.len)
        return 0;
    if (TN_LIKELY(same_name(want.ptr, name.ptr, name.len)))
        return 2;
    if (!tn_str_eq_nocase(want, name))
        return 0;
    if (!codec->is_case_exact)
        return 1;
    for (size_t i = 0; i < want.len; i++)
        if (islower((unsigned char)want.ptr[i]))
            return 0;
    return 1;
}

/* Column of a member, −1 when no plan reads it; *ret_match as name_match. */
static inline int find_column(const struct tni_json_codec *codec, struct tn_str name,
                              int *ret_match)
{
    uint32_t at = tni_json_name_hash(name) & codec->names.mask;
    for (; codec->names.slots[at] >= 0; at = (at + 1) & codec->names.mask) {
        *ret_match = name_match(codec, codec->names.slots[at], name);
        if (*ret_match)
            return codec->names.slots[at];
    }
    return -1;
}

int tni_json_column(const struct tni_json_codec *codec, struct tn_str name, int *ret_match)
{
    return find_column(codec, name, ret_match);
}

static int find_escaped(const struct tni_json_codec *codec, struct tn_str raw, int *ret_match)
{
    char text[256];
    if (raw.len > sizeof text)
        return -1;
    size_t len = tn_json_unescape(raw, text);
    return find_column(codec, (struct tn_str){text, len}, ret_match);
}

/* Objects without insignificant space; arrays as `[a, b]` with plain elements. Source already
 * checked. */
static size_t compact_object(struct tn_str raw, char *to)
{
    char *out = to;
    bool in_string = false;
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];
        if (in_string && c == '\\') {
            *out++ = c;
            c = raw.ptr[++i];
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) {
            continue;
        }
        *out++ = c;
    }
    return (size_t)(out - to);
}

static bool array_text(struct tn_json *json, struct tn_buf *buf)
{
    struct tn_str text;
    unsigned flags;
    json->p++;
    tn_buf_add_byte(buf, '[');
    for (bool is_first = true;; is_first = false) {
        bool is_done;
        if (!tn_json_element(json, is_first, &is_done))
            return false;
        if (is_done)
            break;
        if (!is_first)
            tn_buf_add_text(buf, ", ");
        const char *from = json->p;
        if (*from == '"') {
            if (!tn_json_string(json, &text, &flags))
                return false;
            char *to = tn_buf_reserve(buf, text.len);
            if (to)
                buf->len += tn_json_unescape(text, to);
        } else if (*from == '[') {
            if (!array_text(json, buf))
                return false;
        } else {
            if (!tn_json_skip(json))
                return false;
            char *to = tn_buf_reserve(buf, (size_t)(json->p - from));
            if (to)
                buf->len += compact_object((struct tn_str){from, (size_t)(json->p - from)}, to);
        }
    }
    tn_buf_add_byte(buf, ']');
    return true;
}

/* Any value as text of a VARCHAR column (already known not to be null or a string). */
static bool store_as_text(struct tn_json *json, struct tni_cw *cw, uint32_t row)
{
    const char *from = json->p;
    if (!tn_json_skip(json)) /* checks depth before array_text recurses */
        return false;
    struct tn_str raw = {from, (size_t)(json->p - from)};
    if (*from == '{') {
        char *to = tni_cw_text_begin(cw, row, raw.len);
        tni_cw_text_end(cw, row, compact_object(raw, to));
    } else if (*from == '[') {
        struct tn_json again = *json;
        struct tn_buf buf;
        again.p = from;
        tn_buf_init(&buf, raw.len * 2 + 16);
        array_text(&again, &buf);
        tni_cw_text(cw, row, tn_buf_str(&buf));
        tn_buf_release(&buf);
    } else {
        tni_cw_text(cw, row, raw);
    }
    return true;
}

static const char *store_bytes(struct tni_cw *cw, uint32_t row, struct tn_str text, unsigned flags)
{
    char *copy = (char *)text.ptr;
    size_t len = text.len;
    if (flags & TN_JSON_ESCAPED) {
        copy = tn_arena_alloc(cw->arena, text.len + 1);
        len = tn_json_unescape(text, copy);
    }
    char *to = tni_cw_text_begin(cw, row, len / 4 * 3 + 3);
    int64_t n = tn_base64_decode_strict((struct tn_str){copy, len}, to);
    if (n < 0)
        return "expected base64 text";
    tni_cw_text_end(cw, row, (size_t)n);
    return NULL;
}

static const char *store_string(struct tni_cw *cw, uint32_t row, struct tn_str text, unsigned flags,
                                bool is_lenient)
{
    if (cw->kind == TN_K_VARCHAR || cw->kind == TN_K_JSON) {
        char *to = tni_cw_text_begin(cw, row, text.len);
        size_t len = text.len;
        if (TN_UNLIKELY(flags & TN_JSON_ESCAPED))
            len = tn_json_unescape(text, to);
        else
            memcpy(to, text.ptr, len);
        tni_cw_text_end(cw, row, len);
        return NULL;
    }
    if (cw->kind == TN_K_BYTES)
        return store_bytes(cw, row, text, flags);
    if (cw->kind == TN_K_BOOLEAN)
        return "expected true or false";
    if (text.len == 0)
        return "expected a number, got empty text";
    if (is_lenient && tni_text_store_iso(cw, row, text))
        return NULL;
    return tni_text_store_number(cw, row, text, false);
}

/* Store the value at json->p. NULL = stored or SQL NULL; text = the field does not fit.
 * json->reason set = grammar. */
static const char *store_value(struct tni_json_codec *codec, struct tn_json *json,
                               struct tni_cw *cw, uint32_t row)
{
    char c = *json->p;
    struct tn_str text;
    unsigned flags;
    bool is_integer;
    if (c == 'n' && json->end - json->p >= 4 && memcmp(json->p, "null", 4) == 0) {
        json->p += 4;
        tni_cw_undo(cw, row);
        return NULL;
    }
    if (TN_UNLIKELY(cw->nested != NULL)) {
        struct tn_value value = {0};
        const char *bad =
            tni_json_read_value(json, cw->type, codec->is_case_exact, cw->arena, &value);
        if (!bad)
            tni_cw_nested(cw, row, &value);
        return bad;
    }
    if (c == '"') {
        if (!tn_json_string(json, &text, &flags))
            return json->reason;
        return store_string(cw, row, text, flags, codec->is_lenient);
    }
    if ((c == '-' || tn_json_is_digit(c)) && cw->kind != TN_K_VARCHAR) {
        if (!tn_json_number(json, &text, &is_integer))
            return json->reason;
        if (cw->kind == TN_K_BOOLEAN)
            return "expected true or false";
        if (cw->kind == TN_K_BYTES)
            return "expected base64 text";
        return tni_text_store_number(cw, row, text, is_integer);
    }
    if (cw->kind == TN_K_VARCHAR || cw->kind == TN_K_JSON)
        return store_as_text(json, cw, row) ? NULL : json->reason;
    if (!tn_json_skip(json))
        return json->reason;
    if (cw->kind == TN_K_BOOLEAN && (c == 't' || c == 'f')) {
        tni_cw_bool(cw, row, c == 't');
        return NULL;
    }
    return cw->kind == TN_K_BOOLEAN ? "expected true or false" : "expected a number";
}

static const char *decode_member(struct tni_json_codec *codec, struct tn_json *json, int col,
                                 int match, uint32_t row)
{
    struct tni_cw *cw = &codec->writers[col];
    if (match == 2) {
        codec->exact_row[col] = row;
    } else if (codec->exact_row[col] == (int64_t)row) {
        return tn_json_skip(json) ? NULL : json->reason;
    }
    const char *bad = store_value(codec, json, cw, row);
    if (bad && !json->reason && codec->is_lenient) {
        tni_cw_undo(cw, row);
        return NULL;
    }
    return bad;
}

/* The usual member without blanks or escapes: `,"name":` with its value behind it. False: nothing
 * was read, tn_json_member says what is there. */
static inline bool quick_name(struct tn_json *json, bool is_first, struct tn_str *ret_name)
{
    const char *p = json->p, *end = json->end;
    if (!is_first && (p >= end || *p++ != ','))
        return false;
    if (p >= end || *p++ != '"')
        return false;
    size_t len = tn_json_plain(p, end);
    const char *after = p + len;
    if (end - after < 3 || after[0] != '"' || after[1] != ':' || (unsigned char)after[2] <= ' ')
        return false;
    *ret_name = (struct tn_str){p, len};
    json->p = after + 2;
    return true;
}

/* tn_json_skip of a value that no plan reads, the usual ones in place. */
static inline bool quick_skip(struct tn_json *json)
{
    const char *p = json->p, *end = json->end;
    if (*p == '"') {
        const char *close = p + 1 + tn_json_plain(p + 1, end);
        if (TN_LIKELY(close < end && *close == '"')) {
            json->p = close + 1;
            return true;
        }
    } else if (*p >= '1' && *p <= '9') {
        const char *after = tn_json_digits(p, end);
        if (TN_LIKELY(after < end && *after != '.' && (*after | 0x20) != 'e')) {
            json->p = after;
            return true;
        }
    }
    return tn_json_skip(json);
}

/* One wrapped record. NULL = fine; *ret_col = the column to blame, −1 = the record's form. */
static const char *decode_object(struct tni_json_codec *codec, struct tn_json *json, uint32_t row,
                                 int *ret_col)
{
    struct tn_str name;
    unsigned flags;
    *ret_col = -1;
    json->p++;
    for (bool is_first = true;; is_first = false) {
        bool is_done;
        int match = 0;
        if (TN_LIKELY(quick_name(json, is_first, &name)))
            flags = 0;
        else if (!tn_json_member(json, is_first, &is_done, &name, &flags))
            return json->reason;
        else if (is_done)
            return NULL;
        int col = TN_UNLIKELY(flags & TN_JSON_ESCAPED) ? find_escaped(codec, name, &match)
                                                       : find_column(codec, name, &match);
        if (col < 0) {
            /* nested values count the record's own brace as one level */
            if (!quick_skip(json))
                return json->reason;
            continue;
        }
        const char *bad = decode_member(codec, json, col, match, row);
        if (TN_UNLIKELY(bad != NULL)) {
            *ret_col = json->reason ? -1 : col;
            return bad;
        }
    }
}

/* ---- learned shapes ---- */

/* The object at json->p by the codec's shape. False: it has another form or a value that does not
 * fit; json->p and the row may have moved. */
static bool decode_shaped(struct tni_json_codec *codec, struct tn_json *json, uint32_t row,
                          bool is_line)
{
    const struct tni_json_shape *shape = codec->shape;
    for (uint32_t i = 0; i < shape->count; i++) {
        const struct tni_shape_member *member = &shape->members[i];
        if (!tni_shape_match(member, json->p, json->end))
            return false;
        json->p += member->len;
        if (TN_UNLIKELY(json->p >= json->end))
            return false;
        if (is_line && (*json->p == '{' || *json->p == '[')) {
            const char *newline = memchr(json->p, '\n', (size_t)(json->end - json->p));
            json->end = newline ? newline : json->end;
        }
        if (member->column < 0) {
            if (!quick_skip(json))
                return false;
            continue;
        }
        struct tni_cw *cw = &codec->writers[member->column];
        const char *bad = store_value(codec, json, cw, row);
        if (TN_UNLIKELY(bad != NULL)) {
            if (json->reason || !codec->is_lenient)
                return false;
            tni_cw_undo(cw, row);
        }
    }
    if (json->p >= json->end || *json->p != '}')
        return false;
    json->p++;
    return true;
}

static void undo_columns(struct tni_json_codec *codec, uint32_t row)
{
    for (uint32_t c = 0; c < codec->schema.fields_count; c++)
        if (codec->needed[c])
            tni_cw_undo(&codec->writers[c], row);
}

/* Sources without a form (members in any order) must not pay for the search of one: each miss
 * doubles the number of objects that go the general way at once, each hit halves it. */
static void rest_from_shapes(struct tni_json_codec *codec)
{
    uint32_t penalty = codec->shape_penalty ? codec->shape_penalty * 2 : 1;
    codec->shape_penalty = penalty < TNI_SHAPE_REST_MAX ? penalty : TNI_SHAPE_REST_MAX;
    codec->shape_pause = codec->shape_penalty;
}

const char *tni_json_decode_object(struct tni_json_codec *codec, struct tn_json *json, uint32_t row,
                                   bool is_line, int *ret_col)
{
    const char *from = json->p, *end = json->end;
    struct tni_json_shape *shape = codec->shape;
    bool is_paused = codec->shape_pause > 0;
    if (is_paused) {
        codec->shape_pause--;
    } else if (TN_LIKELY(shape != NULL)) {
        if (TN_LIKELY(decode_shaped(codec, json, row, is_line))) {
            json->end = end;
            codec->shape_penalty /= 2;
            return NULL;
        }
        undo_columns(codec, row);
        *json = (struct tn_json){from, end, NULL, json->depth_max};
    }
    if (is_line) {
        const char *newline = memchr(from, '\n', (size_t)(end - from));
        json->end = newline ? newline : end;
    }
    const char *bad = decode_object(codec, json, row, ret_col);
    json->end = end;
    if (is_paused || bad)
        return bad;
    if (!shape || shape->misses++ % TNI_SHAPE_LEARN_EVERY == 0)
        tni_shape_learn(codec, (struct tn_str){from, (size_t)(json->p - from)});
    rest_from_shapes(codec);
    return NULL;
}

/* Decode one input. NULL = fine (*ret_null: null row). */
static const char *decode_row(struct tni_json_codec *codec, struct tn_json *json, uint32_t row,
                              bool *ret_null, int *ret_col)
{
    const char *bad = NULL;
    *ret_col = -1;
    tn_json_space(json);
    if (json->p >= json->end)
        return json->reason = "empty record";
    if (*json->p == 'n' && tn_json_word(json)) {
        *ret_null = true;
    } else if (codec->is_bare) {
        *ret_col = 0;
        if (codec->needed[0])
            bad = decode_member(codec, json, 0, 2, row);
        else if (!tn_json_skip(json))
            bad = json->reason;
    } else if (*json->p == '{') {
        bad = tni_json_decode_object(codec, json, row, false, ret_col);
    } else {
        const char *at = json->p;
        bad = tn_json_skip(json) ? "expected a JSON object" : json->reason;
        json->p = json->reason ? json->p : at;
    }
    if (bad)
        return bad;
    tn_json_space(json);
    if (TN_UNLIKELY(json->p != json->end)) {
        *ret_col = -1;
        return json->reason = "text after the JSON value";
    }
    return NULL;
}

static void decode_rows(struct tni_json_codec *codec, struct tni_decode_run *run,
                        const struct tn_str *inputs)
{
    uint32_t cols = codec->schema.fields_count;
    for (uint32_t row = 0; row < run->rows_count; row++) {
        struct tn_str input = inputs[row];
        struct tn_json json = {input.ptr, input.ptr + input.len, NULL, codec->depth_max};
        bool is_null = !input.ptr;
        int col;
        const char *bad = is_null ? NULL : decode_row(codec, &json, row, &is_null, &col);
        if (TN_UNLIKELY(bad != NULL))
            tni_decode_bad(run, row, json.p - input.ptr, bad,
                           col < 0 ? (struct tn_str){0} : codec->schema.fields[col].name);
        else if (TN_UNLIKELY(is_null))
            tni_decode_null(run, row);
        for (uint32_t c = 0; c < cols; c++)
            if (codec->needed[c])
                tni_cw_row_end(&codec->writers[c], row);
    }
}

void tni_json_decode(struct tn_codec *base, const struct tn_str *inputs, uint32_t rows_count,
                     struct tn_arena *arena, struct tn_decoded *ret_decoded)
{
    struct tni_json_codec *codec = (struct tni_json_codec *)base;
    struct tni_decode_run run;
    for (uint32_t c = 0; c < codec->schema.fields_count; c++)
        codec->exact_row[c] = -1;
    tni_decode_begin(&run, &codec->schema, codec->needed, codec->writers, rows_count, arena,
                     ret_decoded);
    decode_rows(codec, &run, inputs);
    tni_decode_finish(&run);
}
