/* Functions over maps. Keys and values of a MAP column are two columns with one list of offsets, so
 * MAP_KEYS and MAP_VALUES share buffers with their argument. @thread the running one */
#include <stdlib.h>

#include "stream/func_int.h"
#include "stream/func_nested.h"

static void take_child(struct tn_call *call, uint32_t child)
{
    const struct tn_column *in = &call->args[0];
    uint8_t *validity = call->out->col.validity;
    call->out->col = (struct tn_column){.type = call->type,
                                        .rows_count = call->rows_count,
                                        .validity = validity,
                                        .offsets = in->offsets,
                                        .children = &in->children[child]};
}

static void kernel_keys(struct tn_call *call)
{
    take_child(call, 0);
}

static void kernel_values(struct tn_call *call)
{
    take_child(call, 1);
}

static void kernel_element_at(struct tn_call *call)
{
    uint32_t *rows = TN_ARENA_ARRAY(call->arena, uint32_t, call->rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++)
        rows[row] = tni_row_ok(call, row) ? tni_map_find(&call->args[0], tni_arg_row(call, 0, row),
                                                         &call->args[1], tni_arg_row(call, 1, row))
                                          : TNI_NO_ITEM;
    tni_give_items(call, &call->args[0].children[1], rows);
}

static struct tn_value cell(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    return tn_column_value(&call->args[arg], tni_arg_row(call, arg, row), call->arena);
}

static bool same(const struct tn_value *a, const struct tn_value *b)
{
    return a->is_null || b->is_null ? a->is_null && b->is_null : tn_value_cmp(a, b) == 0;
}

/* Put key and value among `entries`; a key that is there gets the new value. */
static void put_entry(struct tn_value *entries, uint32_t *io_count, const struct tn_value *key,
                      const struct tn_value *value)
{
    uint32_t at = 0;
    while (at < *io_count && !same(&entries[at], key))
        at += 2;
    entries[at] = *key;
    entries[at + 1] = *value;
    if (at == *io_count)
        *io_count += 2;
}

/* map_concat, MAP_UNION: the last map's value wins. A NULL map is left out under stream rules. */
static void kernel_concat(struct tn_call *call)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        uint32_t total = 0, count = 0;
        bool is_any = false;
        for (uint32_t arg = 0; arg < call->args_count; arg++) {
            struct tn_value map = cell(call, arg, row);
            total += map.is_null ? 0 : map.list.count;
        }
        struct tn_value *entries = TN_ARENA_ARRAY(call->arena, struct tn_value, total + 2);
        for (uint32_t arg = 0; arg < call->args_count; arg++) {
            struct tn_value map = cell(call, arg, row);
            is_any |= !map.is_null;
            for (uint32_t i = 0; !map.is_null && i < map.list.count; i += 2)
                put_entry(entries, &count, &map.list.items[i], &map.list.items[i + 1]);
        }
        tn_colbuilder_add(
            builder,
            &(struct tn_value){.type = call->type, .is_null = !is_any, .list = {count, entries}});
    }
    tni_finish(call, builder);
}

static int entry_cmp(const void *a, const void *b)
{
    const struct tn_value *x = &((const struct tn_value *)a)->list.items[0];
    const struct tn_value *y = &((const struct tn_value *)b)->list.items[0];
    if (x->is_null || y->is_null)
        return x->is_null - y->is_null;
    return tn_value_cmp(x, y);
}

/* map_entries(map), ENTRIES(map, sorted): structs of key and value. */
static void kernel_entries(struct tn_call *call)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_value map = cell(call, 0, row);
        map.is_null |= !tni_row_ok(call, row);
        uint32_t count = map.is_null ? 0 : map.list.count / 2;
        struct tn_value *entries = TN_ARENA_ARRAY(call->arena, struct tn_value, count);
        for (uint32_t i = 0; i < count; i++)
            entries[i] = (struct tn_value){.type = call->type->children[0].type,
                                           .list = {2, &map.list.items[2 * i]}};
        if (call->args_count == 2 && !map.is_null && tni_arg_bool(call, 1, row) && count > 1)
            qsort(entries, count, sizeof *entries, entry_cmp);
        tn_colbuilder_add(builder, &(struct tn_value){.type = call->type,
                                                      .is_null = map.is_null,
                                                      .list = {count, entries}});
    }
    tni_finish(call, builder);
}

static void kernel_from_entries(struct tn_call *call)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_value list = cell(call, 0, row);
        uint32_t count = 0, pairs = list.is_null ? 0 : list.list.count;
        bool is_ok = !list.is_null;
        struct tn_value *entries = TN_ARENA_ARRAY(call->arena, struct tn_value, 2 * pairs + 2);
        for (uint32_t i = 0; i < pairs && is_ok; i++) {
            const struct tn_value *pair = &list.list.items[i];
            uint32_t before = count;
            is_ok = !pair->is_null && !pair->list.items[0].is_null;
            if (is_ok)
                put_entry(entries, &count, &pair->list.items[0], &pair->list.items[1]);
            if (!is_ok || count == before) {
                is_ok = false;
                tni_error_argument(call, row,
                                   pair->is_null || pair->list.items[0].is_null
                                       ? "map key cannot be null"
                                       : "duplicate map keys are not allowed");
            }
        }
        tn_colbuilder_add(
            builder,
            &(struct tn_value){.type = call->type, .is_null = !is_ok, .list = {count, entries}});
    }
    tni_finish(call, builder);
}

/* AS_MAP(keys, values): as many entries as the shorter array. */
static void kernel_as_map(struct tn_call *call)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_value keys = cell(call, 0, row), values = cell(call, 1, row);
        bool is_ok = tni_row_ok(call, row);
        uint32_t pairs = !is_ok                                ? 0
                         : keys.list.count < values.list.count ? keys.list.count
                                                               : values.list.count;
        uint32_t count = 0;
        struct tn_value *entries = TN_ARENA_ARRAY(call->arena, struct tn_value, 2 * pairs + 2);
        for (uint32_t i = 0; i < pairs; i++)
            put_entry(entries, &count, &keys.list.items[i], &values.list.items[i]);
        tn_colbuilder_add(
            builder,
            &(struct tn_value){.type = call->type, .is_null = !is_ok, .list = {count, entries}});
    }
    tni_finish(call, builder);
}

/* SPLIT_TO_MAP('k=v,x=y', ',', '='): pieces without the second delimiter are left out. */
static void kernel_split_to_map(struct tn_call *call)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    const struct tn_type *text = tn_type_of(TN_K_VARCHAR);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_value map = {.type = call->type, .is_null = !tni_row_ok(call, row)};
        struct tn_str rest = tni_arg_str(call, 0, row), entry_by = tni_arg_str(call, 1, row);
        struct tn_str value_by = tni_arg_str(call, 2, row);
        if (!map.is_null && (entry_by.len == 0 || value_by.len == 0 || rest.len == 0))
            map.is_null = true;
        const char *end = rest.ptr + rest.len;
        if (!map.is_null)
            map.list.items = TN_ARENA_ARRAY(call->arena, struct tn_value, 2 * rest.len + 4);
        for (const char *p = rest.ptr; !map.is_null && p < end;) {
            const char *stop = memmem(p, (size_t)(end - p), entry_by.ptr, entry_by.len);
            stop = stop ? stop : end;
            const char *mid = memmem(p, (size_t)(stop - p), value_by.ptr, value_by.len);
            if (mid) {
                const char *from = mid + value_by.len;
                struct tn_value key = {.type = text, .s = {p, (size_t)(mid - p)}};
                struct tn_value value = {.type = text, .s = {from, (size_t)(stop - from)}};
                put_entry(map.list.items, &map.list.count, &key, &value);
            }
            p = stop == end ? end : stop + entry_by.len;
        }
        tn_colbuilder_add(builder, &map);
    }
    tni_finish(call, builder);
}

/* ---- types ---- */

static enum tn_status resolve_map(const struct tn_func *func, const struct tn_type **arg_types,
                                  uint32_t args_count, struct tn_arena *arena,
                                  const struct tn_type **ret_type)
{
    (void)args_count;
    const struct tn_type *type = arg_types[0];
    if (type->kind != TN_K_MAP)
        return TN_E_TYPE;
    const struct tn_field *fields = type->children;
    if (strcmp(func->name, "map_keys") == 0)
        *ret_type = tn_type_array(arena, fields[0].type);
    else if (strcmp(func->name, "map_values") == 0)
        *ret_type = tn_type_array(arena, fields[1].type);
    else {
        bool is_stream = func->flags & TN_FN_STREAM;
        struct tn_field pair[2] = {{is_stream ? TN_STR("K") : TN_STR(""), fields[0].type},
                                   {is_stream ? TN_STR("V") : TN_STR(""), fields[1].type}};
        *ret_type = tn_type_array(arena, tn_type_struct(arena, pair, 2));
    }
    return TN_OK;
}

static enum tn_status resolve_element(const struct tn_func *func, const struct tn_type **arg_types,
                                      uint32_t args_count, struct tn_arena *arena,
                                      const struct tn_type **ret_type)
{
    (void)func;
    (void)args_count;
    if (arg_types[0]->kind != TN_K_MAP)
        return TN_E_TYPE;
    const struct tn_type *key = arg_types[0]->children[0].type;
    if (!tn_type_common(key, arg_types[1], TN_RULES_QUERY, arena))
        return TN_E_TYPE;
    arg_types[1] = key;
    *ret_type = arg_types[0]->children[1].type;
    return TN_OK;
}

static enum tn_status resolve_concat(const struct tn_func *func, const struct tn_type **arg_types,
                                     uint32_t args_count, struct tn_arena *arena,
                                     const struct tn_type **ret_type)
{
    TN_TRY(tni_resolve_common(func, arg_types, args_count, arena, ret_type));
    return (*ret_type)->kind == TN_K_MAP ? TN_OK : TN_E_TYPE;
}

static enum tn_status resolve_from_entries(const struct tn_func *func,
                                           const struct tn_type **arg_types, uint32_t args_count,
                                           struct tn_arena *arena, const struct tn_type **ret_type)
{
    (void)func;
    (void)args_count;
    const struct tn_type *pair =
        arg_types[0]->kind == TN_K_ARRAY ? arg_types[0]->children[0].type : NULL;
    if (!pair || pair->kind != TN_K_STRUCT || pair->children_count != 2)
        return TN_E_TYPE;
    *ret_type = tn_type_map(arena, pair->children[0].type, pair->children[1].type);
    return TN_OK;
}

static enum tn_status resolve_as_map(const struct tn_func *func, const struct tn_type **arg_types,
                                     uint32_t args_count, struct tn_arena *arena,
                                     const struct tn_type **ret_type)
{
    (void)func;
    (void)args_count;
    if (arg_types[0]->kind != TN_K_ARRAY || arg_types[1]->kind != TN_K_ARRAY)
        return TN_E_TYPE;
    *ret_type = tn_type_map(arena, arg_types[0]->children[0].type, arg_types[1]->children[0].type);
    return TN_OK;
}

static enum tn_status resolve_text_map(const struct tn_func *func, const struct tn_type **arg_types,
                                       uint32_t args_count, struct tn_arena *arena,
                                       const struct tn_type **ret_type)
{
    (void)func;
    (void)arg_types;
    (void)args_count;
    *ret_type = tn_type_map(arena, tn_type_of(TN_K_VARCHAR), tn_type_of(TN_K_VARCHAR));
    return TN_OK;
}

#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM

static const struct tn_func rows[] = {
    TNI_FN_TYPED("map_keys", TNI_BOTH, "M", resolve_map, kernel_keys, "keys as an array"),
    TNI_FN_TYPED("map_values", TNI_BOTH, "M", resolve_map, kernel_values, "values as an array"),
    TNI_FN_TYPED("map_entries", QUERY, "M", resolve_map, kernel_entries, "entries as rows"),
    TNI_FN_TYPED("entries", STREAM, "Mb", resolve_map, kernel_entries,
                 "entries as structs K, V; sorted by key when the second is true"),
    TNI_FN_TYPED("map_from_entries", QUERY, "A", resolve_from_entries, kernel_from_entries,
                 "map from an array of rows"),
    TNI_FN_TYPED("element_at", QUERY, "M*", resolve_element, kernel_element_at,
                 "value of a key, NULL when absent"),
    TNI_FN_TYPED("map_concat", QUERY | TN_FN_VARARGS, "MMM", resolve_concat, kernel_concat,
                 "maps joined, later values win"),
    TNI_FN_TYPED("map_union", STREAM | TN_FN_NULL_CALL, "MM", resolve_concat, kernel_concat,
                 "maps joined, later values win"),
    TNI_FN_TYPED("as_map", STREAM, "AA", resolve_as_map, kernel_as_map,
                 "map from an array of keys and one of values"),
    TNI_FN_TYPED("split_to_map", STREAM, "sss", resolve_text_map, kernel_split_to_map,
                 "map from text with delimiters between entries and around keys"),
};

TNI_TABLE(map);
