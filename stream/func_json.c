/* JSON in text. Query rules: malformed text gives NULL (json_parse fails), a bad path fails. Stream
 * rules: malformed text fails the row. Values are found by walking the text once per path
 * (stream/json.h). @thread the running one */
#include "stream/base/dtoa.h"
#include "stream/func_int.h"
#include "stream/json.h"

#define JSON_BYTES_MAX ((size_t)64 << 20)

static bool is_stream(const struct tn_call *call)
{
    return call->func->flags & TN_FN_STREAM;
}

/* The value of argument 0; false after failing the row (stream rules) or making it NULL. */
static bool read_json(struct tn_call *call, uint32_t arg, uint32_t row, struct tni_json *ret_json)
{
    if (tni_json_whole(tni_arg_str(call, arg, row), ret_json))
        return true;
    if (is_stream(call))
        tni_error_argument(call, row, "text is not JSON");
    else
        tni_null(call, row);
    return false;
}

/* The path is compiled once when it is constant. */
struct path_arg {
    bool is_ready;
    struct tni_json_path path;
};

static bool read_path(struct tn_call *call, uint32_t row, struct path_arg *path)
{
    if (path->is_ready && call->is_const[1])
        return true;
    struct tn_str text = tni_arg_str(call, 1, row);
    path->is_ready = tni_json_path_parse(text, &path->path);
    if (!is_stream(call)) { /* Trino's paths start at $ and count from the start */
        path->is_ready &= text.len > 0 && text.ptr[0] == '$';
        for (uint32_t i = 0; path->is_ready && i < path->path.count; i++)
            path->is_ready = path->path.steps[i].name.ptr || path->path.steps[i].index >= 0;
    }
    if (!path->is_ready)
        tni_error_argument(call, row, "invalid JSON path: '%.*s'",
                           (int)(text.len < 80 ? text.len : 80), text.ptr);
    return path->is_ready;
}

static bool find(struct tn_call *call, uint32_t row, struct path_arg *path,
                 struct tni_json *ret_json)
{
    struct tni_json root;
    if (!read_path(call, row, path) || !read_json(call, 0, row, &root))
        return false;
    if (tni_json_find(&root, &path->path, call->arena, ret_json))
        return true;
    tni_null(call, row);
    return false;
}

static bool is_scalar(const struct tni_json *json)
{
    return json->kind != TNI_JSON_OBJECT && json->kind != TNI_JSON_ARRAY;
}

static void add_compact(struct tni_text *out, const struct tni_json *json)
{
    struct tn_buf buf;
    tn_buf_init(&buf, JSON_BYTES_MAX);
    tni_json_compact(json, &buf);
    tni_text_add(out, tn_buf_str(&buf));
    tn_buf_release(&buf);
}

static void add_value(struct tni_text *out, const struct tni_json *json)
{
    if (json->kind == TNI_JSON_STRING)
        tni_text_add(out, tni_json_text(json, out->call->arena));
    else if (is_scalar(json))
        tni_text_add(out, json->raw);
    else
        add_compact(out, json);
}

enum extract { EXTRACT_JSON, EXTRACT_SCALAR, EXTRACT_TEXT };

static void extract(struct tn_call *call, enum extract how)
{
    struct path_arg path = {0};
    struct tni_text out;
    tni_text_open(&out, call, (size_t)call->rows_count * 16);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tni_json json;
        if (tni_row_ok(call, row) && find(call, row, &path, &json)) {
            bool is_out = how != EXTRACT_SCALAR || (is_scalar(&json) && json.kind != TNI_JSON_NULL);
            if (!is_out)
                tni_null(call, row);
            else if (how == EXTRACT_JSON)
                add_compact(&out, &json);
            else
                add_value(&out, &json);
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void kernel_extract(struct tn_call *call)
{
    extract(call, EXTRACT_JSON);
}

static void kernel_extract_scalar(struct tn_call *call)
{
    extract(call, EXTRACT_SCALAR);
}

static void kernel_extract_text(struct tn_call *call)
{
    extract(call, EXTRACT_TEXT);
}

/* json_parse, json_format */
static void kernel_compact(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tni_json json;
        if (tni_row_ok(call, row)) {
            struct tn_str text = tni_arg_str(call, 0, row);
            if (tni_json_whole(text, &json))
                add_compact(&out, &json);
            else
                tni_error_argument(call, row, "cannot convert '%.*s' to JSON",
                                   (int)(text.len < 60 ? text.len : 60), text.ptr);
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void kernel_is_scalar(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tni_json json;
        if (tni_row_ok(call, row) && read_json(call, 0, row, &json))
            tn_bit_put(call->out->col.values, row, is_scalar(&json));
    }
}

/* IS_JSON_STRING: false for NULL as well. */
static void kernel_is_json(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tni_json json;
        tn_bit_put(call->out->col.values, row,
                   !tni_arg_null(call, 0, row) && tni_json_whole(tni_arg_str(call, 0, row), &json));
    }
}

/* ---- counting ---- */

static int64_t count_members(const struct tni_json *json)
{
    struct tni_json_iter iter;
    struct tni_json key, value;
    int64_t count = 0;
    for (tni_json_open(json, &iter); tni_json_next(&iter, &key, &value);)
        count++;
    return count;
}

static void put_count(struct tn_call *call, uint32_t row, int64_t count)
{
    if (call->type->kind == TN_K_INTEGER)
        TNI_OUT(call, int32_t)[row] = (int32_t)count;
    else
        TNI_OUT(call, int64_t)[row] = count;
}

static void kernel_array_length(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tni_json json;
        if (!tni_row_ok(call, row) || !read_json(call, 0, row, &json))
            continue;
        if (json.kind == TNI_JSON_ARRAY)
            put_count(call, row, count_members(&json));
        else
            tni_null(call, row);
    }
}

static void kernel_size(struct tn_call *call)
{
    struct path_arg path = {0};
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tni_json json;
        if (tni_row_ok(call, row) && find(call, row, &path, &json))
            put_count(call, row, is_scalar(&json) ? 0 : count_members(&json));
    }
}

/* ---- arrays ---- */

static void kernel_array_get(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tni_json json, item;
        if (tni_row_ok(call, row) && read_json(call, 0, row, &json)) {
            struct tni_json_path path = {.count = 1};
            path.steps[0].index = tni_arg_i64(call, 1, row);
            if (tni_json_find(&json, &path, call->arena, &item))
                add_compact(&out, &item);
            else
                tni_null(call, row);
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static bool same_number(const struct tni_json *json, double wanted)
{
    double value;
    return json->kind == TNI_JSON_NUMBER && tn_double_parse(json->raw, &value) && value == wanted;
}

/* An item of a JSON array equals the SQL value of argument 1. */
static bool item_equals(struct tn_call *call, uint32_t row, const struct tni_json *item)
{
    if (tni_arg_null(call, 1, row))
        return item->kind == TNI_JSON_NULL;
    switch (call->args[1].type->kind) {
    case TN_K_BOOLEAN:
        return item->kind == (tni_arg_bool(call, 1, row) ? TNI_JSON_TRUE : TNI_JSON_FALSE);
    case TN_K_INTEGER:
    case TN_K_BIGINT: return same_number(item, (double)tni_arg_int(call, 1, row));
    case TN_K_DOUBLE: return same_number(item, tni_arg_f64(call, 1, row));
    case TN_K_DECIMAL:
        return same_number(
            item, tn_decimal_to_double(tni_arg_dec(call, 1, row), call->args[1].type->scale));
    case TN_K_VARCHAR:
        return item->kind == TNI_JSON_STRING &&
               tn_str_eq(tni_json_text(item, call->arena), tni_arg_str(call, 1, row));
    default: return false;
    }
}

static void kernel_array_contains(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tni_json json, key, item;
        struct tni_json_iter iter;
        if (tni_arg_null(call, 0, row)) {
            if (!is_stream(call))
                tni_null(call, row);
            continue;
        }
        if (!tni_row_ok(call, row) || !read_json(call, 0, row, &json))
            continue;
        bool is_found = false;
        if (json.kind == TNI_JSON_ARRAY)
            for (tni_json_open(&json, &iter); !is_found && tni_json_next(&iter, &key, &item);)
                is_found = item_equals(call, row, &item);
        else if (!is_stream(call))
            tni_null(call, row);
        tn_bit_put(call->out->col.values, row, is_found);
    }
}

/* JSON_ITEMS: elements as texts; JSON_KEYS: names; JSON_RECORDS: name → text of the value. */
enum members { MEMBER_ITEMS, MEMBER_KEYS, MEMBER_RECORDS };

static struct tn_value text_value(struct tn_str text)
{
    return (struct tn_value){.type = tn_type_of(TN_K_VARCHAR), .s = text};
}

static struct tn_str compact_text(const struct tni_json *json, struct tn_arena *arena)
{
    struct tn_buf buf;
    tn_buf_init(&buf, JSON_BYTES_MAX);
    tni_json_compact(json, &buf);
    struct tn_str text = tn_arena_str(arena, tn_buf_str(&buf));
    tn_buf_release(&buf);
    return text;
}

static void list_members(struct tn_call *call, uint32_t row, enum members what,
                         struct tn_value *list)
{
    struct tni_json json, key, value;
    struct tni_json_iter iter;
    list->is_null = true;
    if (!tni_row_ok(call, row) || !read_json(call, 0, row, &json))
        return;
    if (json.kind != (what == MEMBER_ITEMS ? TNI_JSON_ARRAY : TNI_JSON_OBJECT))
        return;
    list->is_null = false;
    int64_t count = count_members(&json);
    list->list.items = TN_ARENA_ARRAY(call->arena, struct tn_value, (uint32_t)count * 2);
    for (tni_json_open(&json, &iter); tni_json_next(&iter, &key, &value);) {
        struct tn_value *to = &list->list.items[list->list.count++];
        if (what == MEMBER_ITEMS) {
            *to = text_value(compact_text(&value, call->arena));
            continue;
        }
        *to = text_value(tni_json_text(&key, call->arena));
        if (what == MEMBER_RECORDS) {
            to[1] = text_value(compact_text(&value, call->arena));
            list->list.count++;
        }
    }
}

static void members(struct tn_call *call, enum members what)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_value list = {.type = call->type};
        list_members(call, row, what, &list);
        tn_colbuilder_add(builder, &list);
    }
    tni_finish(call, builder);
}

static void kernel_items(struct tn_call *call)
{
    members(call, MEMBER_ITEMS);
}

static void kernel_keys(struct tn_call *call)
{
    members(call, MEMBER_KEYS);
}

static void kernel_records(struct tn_call *call)
{
    members(call, MEMBER_RECORDS);
}

static enum tn_status resolve_members(const struct tn_func *func, const struct tn_type **arg_types,
                                      uint32_t args_count, struct tn_arena *arena,
                                      const struct tn_type **ret_type)
{
    (void)arg_types;
    (void)args_count;
    const struct tn_type *text = tn_type_of(TN_K_VARCHAR);
    bool is_map = strcmp(func->name, "json_records") == 0;
    *ret_type = is_map ? tn_type_map(arena, text, text) : tn_type_array(arena, text);
    return TN_OK;
}

/* ---- making JSON ---- */

static void kernel_to_json(struct tn_call *call)
{
    struct tni_text out;
    struct tn_buf buf;
    tn_buf_init(&buf, JSON_BYTES_MAX);
    tni_text_open(&out, call, (size_t)call->rows_count * 16);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_value value =
            tn_column_value(&call->args[0], tni_arg_row(call, 0, row), call->arena);
        tn_buf_reset(&buf);
        tni_value_json(&value, TN_RULES_STREAM, &buf);
        tni_text_row(&out, tn_buf_str(&buf));
    }
    tn_buf_release(&buf);
    tni_text_close(&out);
}

/* Names of later objects replace those of earlier ones, at their place. */
static void merge_objects(struct tn_call *call, const struct tni_json *values, uint32_t count,
                          struct tn_buf *buf)
{
    struct tni_json key, value, other_key, other;
    struct tni_json_iter iter, rest;
    bool is_first = true;
    tn_buf_add_byte(buf, '{');
    for (uint32_t k = 0; k < count; k++) {
        for (tni_json_open(&values[k], &iter); tni_json_next(&iter, &key, &value);) {
            struct tn_str name = tni_json_text(&key, call->arena);
            bool is_old = false;
            for (uint32_t before = 0; before < k && !is_old; before++)
                for (tni_json_open(&values[before], &rest);
                     !is_old && tni_json_next(&rest, &other_key, &other);)
                    is_old = tn_str_eq(tni_json_text(&other_key, call->arena), name);
            if (is_old)
                continue;
            for (uint32_t after = k + 1; after < count; after++)
                for (tni_json_open(&values[after], &rest);
                     tni_json_next(&rest, &other_key, &other);)
                    if (tn_str_eq(tni_json_text(&other_key, call->arena), name))
                        value = other;
            tn_buf_add_text(buf, is_first ? "" : ",");
            is_first = false;
            tni_json_compact(&key, buf);
            tn_buf_add_byte(buf, ':');
            tni_json_compact(&value, buf);
        }
    }
    tn_buf_add_byte(buf, '}');
}

static void join_arrays(const struct tni_json *values, uint32_t count, struct tn_buf *buf)
{
    struct tni_json key, value;
    struct tni_json_iter iter;
    bool is_first = true;
    tn_buf_add_byte(buf, '[');
    for (uint32_t k = 0; k < count; k++) {
        if (values[k].kind != TNI_JSON_ARRAY) {
            tn_buf_add_text(buf, is_first ? "" : ",");
            tni_json_compact(&values[k], buf);
            is_first = false;
            continue;
        }
        for (tni_json_open(&values[k], &iter); tni_json_next(&iter, &key, &value);) {
            tn_buf_add_text(buf, is_first ? "" : ",");
            tni_json_compact(&value, buf);
            is_first = false;
        }
    }
    tn_buf_add_byte(buf, ']');
}

/* JSON_CONCAT: objects are merged, anything else is joined to an array. */
static void kernel_json_concat(struct tn_call *call)
{
    struct tni_text out;
    struct tn_buf buf;
    struct tni_json *values = TN_ARENA_ARRAY(call->arena, struct tni_json, call->args_count);
    tn_buf_init(&buf, JSON_BYTES_MAX);
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        bool is_ok = tni_row_ok(call, row), is_objects = true;
        for (uint32_t arg = 0; is_ok && arg < call->args_count; arg++) {
            is_ok = tni_json_whole(tni_arg_str(call, arg, row), &values[arg]);
            is_objects = is_objects && is_ok && values[arg].kind == TNI_JSON_OBJECT;
        }
        tn_buf_reset(&buf);
        if (!is_ok)
            tni_null(call, row);
        else if (is_objects)
            merge_objects(call, values, call->args_count, &buf);
        else
            join_arrays(values, call->args_count, &buf);
        tni_text_row(&out, tn_buf_str(&buf));
    }
    tn_buf_release(&buf);
    tni_text_close(&out);
}

#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM
#define NULLS  TN_FN_NULL_CALL
/* the same for text and JSON */
#define ON_JSON(NAME, ARGS, RESULT, FN, HELP)                                                      \
    TNI_FN(NAME, QUERY, "j" ARGS, RESULT, FN, HELP), TNI_FN(NAME, QUERY, "s" ARGS, RESULT, FN, HELP)

static const struct tn_func rows[] = {
    ON_JSON("json_extract", "s", JSON, kernel_extract, "JSON at a path"),
    ON_JSON("json_extract_scalar", "s", VARCHAR, kernel_extract_scalar,
            "text of the scalar at a path"),
    TNI_FN("json_parse", QUERY, "s", JSON, kernel_compact, "JSON from text"),
    TNI_FN("json_format", QUERY, "j", VARCHAR, kernel_compact, "text of JSON"),
    ON_JSON("json_array_length", "", BIGINT, kernel_array_length, "number of elements"),
    ON_JSON("json_size", "s", BIGINT, kernel_size, "number of members at a path"),
    ON_JSON("json_array_get", "l", JSON, kernel_array_get, "n-th element, counted from 0"),
    ON_JSON("json_array_contains", "b", BOOLEAN, kernel_array_contains, "whether it is an element"),
    ON_JSON("json_array_contains", "l", BOOLEAN, kernel_array_contains, "whether it is an element"),
    ON_JSON("json_array_contains", "d", BOOLEAN, kernel_array_contains, "whether it is an element"),
    ON_JSON("json_array_contains", "s", BOOLEAN, kernel_array_contains, "whether it is an element"),
    ON_JSON("is_json_scalar", "", BOOLEAN, kernel_is_scalar, "neither object nor array"),
    TNI_FN("extractjsonfield", STREAM, "ss", VARCHAR, kernel_extract_text,
           "text of the value at a path"),
    TNI_FN("to_json_string", STREAM | NULLS, "*", VARCHAR, kernel_to_json, "the value as JSON"),
    TNI_FN("is_json_string", STREAM | NULLS, "s", BOOLEAN, kernel_is_json, "whether it is JSON"),
    TNI_FN("json_array_length", STREAM, "s", INTEGER, kernel_array_length, "number of elements"),
    TNI_FN("json_array_contains", STREAM | NULLS, "s*", BOOLEAN, kernel_array_contains,
           "whether it is an element"),
    TNI_FN("json_concat", STREAM | TN_FN_VARARGS, "sss", VARCHAR, kernel_json_concat,
           "objects merged, or arrays joined"),
    TNI_FN_TYPED("json_items", STREAM, "s", resolve_members, kernel_items, "elements as texts"),
    TNI_FN_TYPED("json_keys", STREAM, "s", resolve_members, kernel_keys, "names of an object"),
    TNI_FN_TYPED("json_records", STREAM, "s", resolve_members, kernel_records,
                 "members as a map of texts"),
};

TNI_TABLE(json);
