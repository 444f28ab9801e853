/* Arrays, maps and structs as forms of the language: constructors, subscript, dereference.
 *
 *                         stream rules                       query rules
 *   a[i], out of range    NULL; a[-1] is the last element    fails; so do 0 and negative subscripts
 *   m[k], no such key     NULL                               fails
 *   map with a key twice  the last one wins                  fails
 * @thread the running one */
#include "stream/func_nested.h"

#include "stream/func_int.h"

void tni_gather_or_null(const struct tn_column *in, uint32_t *rows, uint32_t count,
                        struct tn_column *out, struct tn_arena *arena)
{
    const struct tn_type *type = in->type;
    if (in->rows_count == 0) {
        tn_column_init(out, type, count, true, arena);
        memset(out->validity, 0, tn_bits_bytes(count));
        return;
    }
    uint8_t *missing = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i] != TNI_NO_ITEM)
            continue;
        if (!missing)
            missing = tn_arena_zalloc(arena, tn_bits_bytes(count), 1);
        tn_bit_set(missing, i);
        rows[i] = 0;
    }
    tn_column_gather(in, rows, count, out, arena);
    if (!missing)
        return;
    tn_column_need_validity(out, arena);
    for (size_t at = 0; at < tn_bits_bytes(count); at++)
        out->validity[at] = (uint8_t)(out->validity[at] & ~(unsigned)missing[at]);
}

void tni_give_items(struct tn_call *call, const struct tn_column *items, uint32_t *rows)
{
    uint8_t *before = call->out->col.validity;
    struct tn_column col;
    tni_gather_or_null(items, rows, call->rows_count, &col, call->arena);
    col.type = call->type;
    if (before) {
        tn_column_need_validity(&col, call->arena);
        for (size_t at = 0; at < tn_bits_bytes(col.rows_count); at++)
            col.validity[at] &= before[at];
    }
    call->out->col = col;
}

/* ---- subscript ---- */

static uint32_t element_of(struct tn_call *call, uint32_t row)
{
    const struct tn_column *list = &call->args[0];
    uint32_t at = tni_arg_row(call, 0, row);
    int64_t count = list->offsets[at + 1] - list->offsets[at], index = tni_arg_i64(call, 1, row);
    if (index >= 1 && index <= count)
        return (uint32_t)(list->offsets[at] + index - 1);
    if (tni_call_rules(call) == TN_RULES_STREAM)
        return index < 0 && index >= -count ? (uint32_t)(list->offsets[at] + count + index)
                                            : TNI_NO_ITEM;
    if (index == 0)
        tni_error_argument(call, row, "SQL array indices start at 1");
    else if (index < 0)
        tni_error_argument(call, row, "array subscript is negative: %lld", (long long)index);
    else
        tni_error_argument(
            call, row, "array subscript must be less than or equal to array length: %lld > %lld",
            (long long)index, (long long)count);
    return TNI_NO_ITEM;
}

uint32_t tni_map_find(const struct tn_column *map, uint32_t row, const struct tn_column *key,
                      uint32_t key_row)
{
    for (int32_t at = map->offsets[row + 1] - 1; at >= map->offsets[row]; at--)
        if (tn_column_same(&map->children[0], (uint32_t)at, key, key_row))
            return (uint32_t)at;
    return TNI_NO_ITEM;
}

static uint32_t entry_of(struct tn_call *call, uint32_t row)
{
    uint32_t key_row = tni_arg_row(call, 1, row);
    uint32_t at = tni_map_find(&call->args[0], tni_arg_row(call, 0, row), &call->args[1], key_row);
    if (at != TNI_NO_ITEM || tni_call_rules(call) == TN_RULES_STREAM)
        return at;
    struct tn_buf buf;
    tn_buf_init(&buf, 100);
    struct tn_value key = tn_column_value(&call->args[1], key_row, call->arena);
    tni_value_print(&key, TN_RULES_QUERY, &buf);
    tni_error_argument(call, row, "key not present in map: %.*s", TN_STR_FMT(tn_buf_str(&buf)));
    tn_buf_release(&buf);
    return TNI_NO_ITEM;
}

static void kernel_subscript(struct tn_call *call)
{
    const struct tn_column *in = &call->args[0];
    bool is_map = in->type->kind == TN_K_MAP;
    uint32_t *rows = TN_ARENA_ARRAY(call->arena, uint32_t, call->rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++)
        rows[row] = !tni_row_ok(call, row) ? TNI_NO_ITEM
                    : is_map               ? entry_of(call, row)
                                           : element_of(call, row);
    tni_give_items(call, &in->children[is_map ? 1 : 0], rows);
}

static enum tn_status resolve_subscript(const struct tn_func *func,
                                        const struct tn_type **arg_types, uint32_t args_count,
                                        struct tn_arena *arena, const struct tn_type **ret_type)
{
    (void)args_count;
    const struct tn_type *type = arg_types[0];
    if (!tn_kind_is_nested(type->kind))
        return TN_E_TYPE;
    if (type->kind == TN_K_MAP) {
        enum tn_rules rules = func->flags & TN_FN_QUERY ? TN_RULES_QUERY : TN_RULES_STREAM;
        const struct tn_type *key = type->children[0].type;
        if (!tn_type_common(key, arg_types[1], rules, arena))
            return TN_E_TYPE;
        arg_types[1] = key;
    }
    *ret_type = type->children[type->kind == TN_K_MAP ? 1 : 0].type;
    return TN_OK;
}

/* ---- dereference ---- */

static void kernel_deref(struct tn_call *call)
{
    uint8_t *validity = call->out->col.validity;
    const struct tn_column *in = &call->args[0];
    int32_t field = tn_column_i32(&call->args[1], 0);
    TN_ASSERT(field >= 0 && (uint32_t)field < in->type->children_count);
    struct tn_column *col = &call->out->col;
    if (call->is_const[0] && call->rows_count != 1) {
        uint32_t *rows = TN_ARENA_ARRAY(call->arena, uint32_t, call->rows_count);
        tn_column_gather(&in->children[field], rows, call->rows_count, col, call->arena);
    } else {
        *col = in->children[field];
    }
    col->type = call->type;
    if (!validity)
        return;
    if (col->validity)
        for (size_t at = 0; at < tn_bits_bytes(call->rows_count); at++)
            validity[at] &= col->validity[at];
    col->validity = validity;
}

static enum tn_status resolve_never(const struct tn_func *func, const struct tn_type **arg_types,
                                    uint32_t args_count, struct tn_arena *arena,
                                    const struct tn_type **ret_type)
{
    (void)func;
    (void)arg_types;
    (void)args_count;
    (void)arena;
    (void)ret_type;
    return TN_E_TYPE; /* the field is a value, not a type: tn_func_deref makes the call */
}

/* ---- constructors ---- */

static struct tn_value cell(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    return tn_column_value(&call->args[arg], tni_arg_row(call, arg, row), call->arena);
}

static void kernel_array(struct tn_call *call)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    struct tn_value *items = TN_ARENA_ARRAY(call->arena, struct tn_value, call->args_count);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        for (uint32_t arg = 0; arg < call->args_count; arg++)
            items[arg] = cell(call, arg, row);
        tn_colbuilder_add(
            builder, &(struct tn_value){.type = call->type, .list = {call->args_count, items}});
    }
    tni_finish(call, builder);
}

static void kernel_row(struct tn_call *call)
{
    kernel_array(call); /* a struct value is the list of its fields as well */
}

static bool same_key(const struct tn_value *a, const struct tn_value *b)
{
    return a->is_null || b->is_null ? a->is_null && b->is_null : tn_value_cmp(a, b) == 0;
}

/* Key, value, … without duplicates; 0 when the row failed. */
static bool add_entry(struct tn_call *call, uint32_t row, struct tn_value *entries,
                      uint32_t *io_count, const struct tn_value *key, const struct tn_value *value)
{
    bool is_query = tni_call_rules(call) == TN_RULES_QUERY;
    if (key->is_null && is_query) {
        tni_error_argument(call, row, "map key cannot be null");
        return false;
    }
    uint32_t at = 0;
    while (at < *io_count && !same_key(&entries[at], key))
        at += 2;
    if (at < *io_count && is_query) {
        tni_error_argument(call, row, "duplicate map keys are not allowed");
        return false;
    }
    entries[at] = *key;
    entries[at + 1] = *value;
    if (at == *io_count)
        *io_count += 2;
    return true;
}

static void kernel_map(struct tn_call *call)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    struct tn_value *entries = TN_ARENA_ARRAY(call->arena, struct tn_value, call->args_count + 2);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        uint32_t count = 0;
        bool is_ok = true;
        for (uint32_t arg = 0; arg < call->args_count && is_ok; arg += 2) {
            struct tn_value key = cell(call, arg, row), value = cell(call, arg + 1, row);
            is_ok = add_entry(call, row, entries, &count, &key, &value);
        }
        tn_colbuilder_add(
            builder,
            &(struct tn_value){.type = call->type, .is_null = !is_ok, .list = {count, entries}});
    }
    tni_finish(call, builder);
}

/* map(ARRAY, ARRAY) of query rules. */
static void kernel_map_of_arrays(struct tn_call *call)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_value keys = cell(call, 0, row), values = cell(call, 1, row);
        uint32_t count = 0;
        bool is_ok = !keys.is_null && !values.is_null;
        if (is_ok && keys.list.count != values.list.count) {
            tni_error_argument(call, row, "key and value arrays must be the same length");
            is_ok = false;
        }
        struct tn_value *entries =
            TN_ARENA_ARRAY(call->arena, struct tn_value, is_ok ? keys.list.count * 2 + 2 : 0);
        for (uint32_t i = 0; is_ok && i < keys.list.count; i++)
            is_ok =
                add_entry(call, row, entries, &count, &keys.list.items[i], &values.list.items[i]);
        tn_colbuilder_add(
            builder,
            &(struct tn_value){.type = call->type, .is_null = !is_ok, .list = {count, entries}});
    }
    tni_finish(call, builder);
}

static const struct tn_type *common_of(const struct tn_func *func, const struct tn_type **types,
                                       uint32_t first, uint32_t step, uint32_t count,
                                       struct tn_arena *arena)
{
    enum tn_rules rules = func->flags & TN_FN_QUERY ? TN_RULES_QUERY : TN_RULES_STREAM;
    const struct tn_type *type = tn_type_of(TN_K_NULL);
    for (uint32_t i = first; i < count && type; i += step)
        type = tn_type_common(type, types[i], rules, arena);
    for (uint32_t i = first; i < count && type; i += step)
        types[i] = type;
    return type;
}

static enum tn_status resolve_array(const struct tn_func *func, const struct tn_type **arg_types,
                                    uint32_t args_count, struct tn_arena *arena,
                                    const struct tn_type **ret_type)
{
    const struct tn_type *type = common_of(func, arg_types, 0, 1, args_count, arena);
    if (!type)
        return TN_E_TYPE;
    *ret_type = tn_type_array(arena, type);
    return TN_OK;
}

static enum tn_status resolve_map(const struct tn_func *func, const struct tn_type **arg_types,
                                  uint32_t args_count, struct tn_arena *arena,
                                  const struct tn_type **ret_type)
{
    const struct tn_type *key = common_of(func, arg_types, 0, 2, args_count, arena);
    const struct tn_type *value = common_of(func, arg_types, 1, 2, args_count, arena);
    if (!key || !value || args_count % 2)
        return TN_E_TYPE;
    *ret_type = tn_type_map(arena, key, value);
    return TN_OK;
}

static enum tn_status resolve_map_of_arrays(const struct tn_func *func,
                                            const struct tn_type **arg_types, uint32_t args_count,
                                            struct tn_arena *arena, const struct tn_type **ret_type)
{
    (void)func;
    (void)args_count;
    if (arg_types[0]->kind != TN_K_ARRAY || arg_types[1]->kind != TN_K_ARRAY)
        return TN_E_TYPE;
    *ret_type = tn_type_map(arena, arg_types[0]->children[0].type, arg_types[1]->children[0].type);
    return TN_OK;
}

static enum tn_status resolve_row(const struct tn_func *func, const struct tn_type **arg_types,
                                  uint32_t args_count, struct tn_arena *arena,
                                  const struct tn_type **ret_type)
{
    (void)func;
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, args_count);
    for (uint32_t i = 0; i < args_count; i++)
        fields[i] = (struct tn_field){TN_STR(""), arg_types[i]};
    *ret_type = tn_type_struct(arena, fields, args_count);
    return args_count ? TN_OK : TN_E_TYPE;
}

#define FORM(NAME, FLAGS, COUNT, ARGS, FN, RESOLVE)                                                \
    {                                                                                              \
        .name = NAME, .flags = (FLAGS) | TN_FN_INTERNAL, .args_count = COUNT, .args = ARGS,        \
        .kernel = FN, .resolve = RESOLVE                                                           \
    }
#define BOTH_FORMS(NAME, FLAGS, COUNT, ARGS, FN, RESOLVE)                                          \
    FORM(NAME, (FLAGS) | TN_FN_STREAM, COUNT, ARGS, FN, RESOLVE),                                  \
        FORM(NAME, (FLAGS) | TN_FN_QUERY, COUNT, ARGS, FN, RESOLVE)

static const struct tn_func rows[] = {
    FORM("deref", TNI_BOTH, 2, "Ri", kernel_deref, resolve_never),
    BOTH_FORMS("subscript", 0, 2, "Al", kernel_subscript, resolve_subscript),
    BOTH_FORMS("subscript", 0, 2, "M*", kernel_subscript, resolve_subscript),
    BOTH_FORMS("array", TN_FN_NULL_CALL | TN_FN_VARARGS, 1, "*", kernel_array, resolve_array),
    BOTH_FORMS("map", TN_FN_NULL_CALL | TN_FN_VARARGS, 1, "*", kernel_map, resolve_map),
    FORM("map", TN_FN_QUERY, 2, "AA", kernel_map_of_arrays, resolve_map_of_arrays),
    BOTH_FORMS("row", TN_FN_NULL_CALL | TN_FN_VARARGS, 1, "*", kernel_row, resolve_row),
    BOTH_FORMS("struct", TN_FN_NULL_CALL | TN_FN_VARARGS, 1, "*", kernel_row, resolve_row),
};

TNI_TABLE(nested);

const struct tn_func *tn_func_deref(const struct tn_type *type, struct tn_str field,
                                    int32_t *ret_field)
{
    if (type->kind != TN_K_STRUCT)
        return NULL;
    struct tn_schema fields = {type->children_count, type->children};
    int at = tn_schema_find(&fields, field);
    if (at < 0)
        return NULL;
    *ret_field = at;
    return &rows[0];
}
