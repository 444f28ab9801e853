/* JSON values of nested types (ARRAY, MAP, STRUCT) as tn_value trees: the rare path of the decoder.
 * Recursion is bounded by the type's depth (TN_TYPE_DEPTH_MAX). */
#include "connectors/format_json.h"
#include "connectors/text_value.h"

#define ITEMS_START 8

struct items {
    struct tn_value *ptr;
    uint32_t count, cap;
    struct tn_arena *arena;
};

static struct tn_value *items_add(struct items *items)
{
    if (items->count == items->cap) {
        uint32_t cap = items->cap ? items->cap * 2 : ITEMS_START;
        struct tn_value *grown = TN_ARENA_ARRAY(items->arena, struct tn_value, cap);
        if (items->count)
            memcpy(grown, items->ptr, items->count * sizeof *grown);
        items->ptr = grown;
        items->cap = cap;
    }
    return &items->ptr[items->count++];
}

static struct tn_str decoded(struct tn_str raw, unsigned flags, struct tn_arena *arena)
{
    if (!(flags & TN_JSON_ESCAPED))
        return tn_arena_str(arena, raw);
    char *to = tn_arena_alloc(arena, raw.len + 1);
    return (struct tn_str){to, tn_json_unescape(raw, to)};
}

static const char *read_array(struct tn_json *json, const struct tn_type *type, bool is_case_exact,
                              struct tn_arena *arena, struct tn_value *ret_value)
{
    struct items items = {.arena = arena};
    if (*json->p != '[')
        return tn_json_skip(json) ? "expected a JSON array" : json->reason;
    json->p++;
    for (bool is_first = true;; is_first = false) {
        bool is_done;
        if (!tn_json_element(json, is_first, &is_done))
            return json->reason;
        if (is_done)
            break;
        const char *bad = tni_json_read_value(json, type->children[0].type, is_case_exact, arena,
                                              items_add(&items));
        if (bad)
            return bad;
    }
    ret_value->list.count = items.count;
    ret_value->list.items = items.ptr;
    return NULL;
}

static const char *read_map(struct tn_json *json, const struct tn_type *type, bool is_case_exact,
                            struct tn_arena *arena, struct tn_value *ret_value)
{
    struct items items = {.arena = arena};
    struct tn_str name;
    unsigned flags;
    if (*json->p != '{')
        return tn_json_skip(json) ? "expected a JSON object" : json->reason;
    json->p++;
    for (bool is_first = true;; is_first = false) {
        bool is_done;
        if (!tn_json_member(json, is_first, &is_done, &name, &flags))
            return json->reason;
        if (is_done)
            break;
        *items_add(&items) =
            (struct tn_value){.type = type->children[0].type, .s = decoded(name, flags, arena)};
        const char *bad = tni_json_read_value(json, type->children[1].type, is_case_exact, arena,
                                              items_add(&items));
        if (bad)
            return bad;
    }
    ret_value->list.count = items.count;
    ret_value->list.items = items.ptr;
    return NULL;
}

static int find_field(const struct tn_type *type, struct tn_str name)
{
    for (uint32_t i = 0; i < type->children_count; i++)
        if (tn_str_eq(type->children[i].name, name))
            return (int)i;
    for (uint32_t i = 0; i < type->children_count; i++)
        if (tn_str_eq_nocase(type->children[i].name, name))
            return (int)i;
    return -1;
}

static const char *read_struct(struct tn_json *json, const struct tn_type *type, bool is_case_exact,
                               struct tn_arena *arena, struct tn_value *ret_value)
{
    struct tn_str raw;
    unsigned flags;
    struct tn_value *fields = TN_ARENA_ARRAY(arena, struct tn_value, type->children_count);
    if (*json->p != '{')
        return tn_json_skip(json) ? "expected a JSON object" : json->reason;
    json->p++;
    for (uint32_t i = 0; i < type->children_count; i++)
        fields[i] = (struct tn_value){.type = type->children[i].type, .is_null = true};
    for (bool is_first = true;; is_first = false) {
        bool is_done;
        if (!tn_json_member(json, is_first, &is_done, &raw, &flags))
            return json->reason;
        if (is_done)
            break;
        int at = find_field(type, decoded(raw, flags, arena));
        if (at < 0) {
            if (!tn_json_skip(json))
                return json->reason;
            continue;
        }
        const char *bad =
            tni_json_read_value(json, type->children[at].type, is_case_exact, arena, &fields[at]);
        if (bad)
            return bad;
    }
    ret_value->list.count = type->children_count;
    ret_value->list.items = fields;
    return NULL;
}

/* Scalars go through the same column writer as top-level fields, one row wide. */
static const char *read_scalar(struct tn_json *json, const struct tn_type *type,
                               struct tn_arena *arena, struct tn_value *ret_value)
{
    struct tn_field field = {TN_STR("v"), type};
    struct tn_schema schema = {1, &field};
    bool needed = true;
    struct tni_cw writer;
    int64_t exact_row = -1;
    struct tni_json_codec codec = {.schema = schema,
                                   .needed = &needed,
                                   .is_bare = true,
                                   .depth_max = json->depth_max,
                                   .writers = &writer,
                                   .exact_row = &exact_row};
    const char *from = json->p;
    if (!tn_json_skip(json))
        return json->reason;
    struct tn_str input = {from, (size_t)(json->p - from)};
    struct tn_decoded out;
    tni_json_decode(&codec.base, &input, 1, arena, &out);
    if (out.bad_count)
        return out.bad[0].reason;
    *ret_value = tn_column_value(&out.columns[0], 0, arena);
    return NULL;
}

const char *tni_json_read_value(struct tn_json *json, const struct tn_type *type,
                                bool is_case_exact, struct tn_arena *arena,
                                struct tn_value *ret_value)
{
    *ret_value = (struct tn_value){.type = type};
    if (json->p >= json->end) {
        tn_json_fail(json, json->end, "unexpected end of input");
        return json->reason;
    }
    if (*json->p == 'n') {
        ret_value->is_null = true;
        return tn_json_word(json) ? NULL : json->reason;
    }
    switch (type->kind) {
    case TN_K_ARRAY: return read_array(json, type, is_case_exact, arena, ret_value);
    case TN_K_MAP: return read_map(json, type, is_case_exact, arena, ret_value);
    case TN_K_STRUCT: return read_struct(json, type, is_case_exact, arena, ret_value);
    default: return read_scalar(json, type, arena, ret_value);
    }
}
