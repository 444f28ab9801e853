/* Functions over arrays. Items are handled by number and copied once at the end.
 *
 *                    stream rules                          query rules
 *   ARRAY_MAX, MIN   NULL items left out                   NULL when an item is NULL
 *   ARRAY_JOIN       NULL items as null                    left out, or as the third argument
 *   SLICE(a, x, y)   items x to y; NULL when outside       y items from x on; negative x from the
 * end ARRAY_REMOVE     NULL removes NULL items               NULL when the value is NULL Set
 * functions keep the first occurrence of each value, NULL being one; results are in order of
 * occurrence.
 * @thread the running one */
#include <stdlib.h>

#include "stream/func_int.h"
#include "stream/func_nested.h"

#define ITEMS_MAX 1000000 /* items of one generated list */

struct span {
    uint32_t from, end; /* items of one row */
};

static struct span span_of(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    const struct tn_column *col = &call->args[arg];
    uint32_t at = tni_arg_row(call, arg, row);
    if (tn_column_is_null(col, at))
        return (struct span){0, 0};
    return (struct span){(uint32_t)col->offsets[at], (uint32_t)col->offsets[at + 1]};
}

static const struct tn_column *items_of(const struct tn_call *call, uint32_t arg)
{
    return &call->args[arg].children[0];
}

static bool is_stream(const struct tn_call *call)
{
    return call->func->flags & TN_FN_STREAM;
}

/* ---- looking ---- */

static void kernel_cardinality(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span span = span_of(call, 0, row);
        if (call->type->kind == TN_K_INTEGER)
            TNI_OUT(call, int32_t)[row] = (int32_t)(span.end - span.from);
        else
            TNI_OUT(call, int64_t)[row] = span.end - span.from;
    }
}

/* Item of the row that equals argument 1, TNI_NO_ITEM when there is none. */
static uint32_t find_item(const struct tn_call *call, uint32_t row)
{
    struct span span = span_of(call, 0, row);
    const struct tn_column *items = items_of(call, 0), *wanted = &call->args[1];
    for (uint32_t i = span.from; i < span.end; i++)
        if (tn_column_same(items, i, wanted, tni_arg_row(call, 1, row)))
            return i;
    return TNI_NO_ITEM;
}

static bool has_null_item(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    struct span span = span_of(call, arg, row);
    for (uint32_t i = span.from; i < span.end; i++)
        if (tn_column_is_null(items_of(call, arg), i))
            return true;
    return false;
}

static void kernel_contains(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        bool is_found = find_item(call, row) != TNI_NO_ITEM;
        tn_bit_put(call->out->col.values, row, is_found);
        if (!is_found && has_null_item(call, 0, row))
            tni_null(call, row);
    }
}

/* ARRAY_CONTAINS: a NULL value may be looked for; a NULL array gives NULL. */
static void kernel_array_contains(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_arg_null(call, 0, row))
            tni_null(call, row);
        else
            tn_bit_put(call->out->col.values, row, find_item(call, row) != TNI_NO_ITEM);
    }
}

static void kernel_position(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        uint32_t item = find_item(call, row);
        TNI_OUT(call, int64_t)
        [row] = item == TNI_NO_ITEM ? 0 : item - span_of(call, 0, row).from + 1;
    }
}

static void extreme(struct tn_call *call, int wanted)
{
    const struct tn_column *items = items_of(call, 0);
    uint32_t *rows = TN_ARENA_ARRAY(call->arena, uint32_t, call->rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span span = span_of(call, 0, row);
        rows[row] = TNI_NO_ITEM;
        if (!tni_row_ok(call, row) || (!is_stream(call) && has_null_item(call, 0, row)))
            continue;
        for (uint32_t i = span.from; i < span.end; i++)
            if (!tn_column_is_null(items, i) &&
                (rows[row] == TNI_NO_ITEM ||
                 tni_item_beats(call, items, i, items, rows[row], wanted)))
                rows[row] = i;
    }
    tni_give_items(call, items, rows);
}

static void kernel_array_max(struct tn_call *call)
{
    extreme(call, 1);
}

static void kernel_array_min(struct tn_call *call)
{
    extreme(call, -1);
}

/* element_at(array, i): from the end when negative, NULL outside. */
static void kernel_element_at(struct tn_call *call)
{
    uint32_t *rows = TN_ARENA_ARRAY(call->arena, uint32_t, call->rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span span = span_of(call, 0, row);
        int64_t index = tni_arg_i64(call, 1, row), count = span.end - span.from;
        rows[row] = TNI_NO_ITEM;
        if (!tni_row_ok(call, row))
            continue;
        if (index == 0)
            tni_error_argument(call, row, "SQL array indices start at 1");
        else if (index > 0 && index <= count)
            rows[row] = span.from + (uint32_t)index - 1;
        else if (index < 0 && index >= -count)
            rows[row] = span.end - (uint32_t)-index;
    }
    tni_give_items(call, items_of(call, 0), rows);
}

static void kernel_overlap(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span a = span_of(call, 0, row), b = span_of(call, 1, row);
        struct tni_item_set set;
        bool is_found = false;
        if (!tni_row_ok(call, row))
            continue;
        tni_item_set_open(&set, items_of(call, 0), a.end - a.from, call->arena);
        for (uint32_t i = a.from; i < a.end; i++)
            if (!tn_column_is_null(items_of(call, 0), i))
                tni_item_set_add(&set, i);
        for (uint32_t i = b.from; i < b.end && !is_found; i++)
            is_found = tni_item_set_has(&set, items_of(call, 1), i);
        tn_bit_put(call->out->col.values, row, is_found);
        if (!is_found && (has_null_item(call, 0, row) || has_null_item(call, 1, row)))
            tni_null(call, row);
    }
}

/* ---- lists from the items of one array ---- */

static void kernel_distinct(struct tn_call *call)
{
    struct tni_list list;
    tni_list_open(&list, call, items_of(call, 0)->rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span span = span_of(call, 0, row);
        struct tni_item_set set;
        tni_item_set_open(&set, items_of(call, 0), span.end - span.from, call->arena);
        for (uint32_t i = span.from; i < span.end; i++)
            if (tni_item_set_add(&set, i))
                tni_list_add(&list, i);
        tni_list_end(&list);
    }
    tni_list_close(&list, items_of(call, 0));
}

/* array_except, array_intersect: items of the first that are (not) in the second, once each. */
static void pick(struct tn_call *call, bool is_wanted)
{
    struct tni_list list;
    tni_list_open(&list, call, items_of(call, 0)->rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span a = span_of(call, 0, row), b = span_of(call, 1, row);
        struct tni_item_set seen, other;
        tni_item_set_open(&seen, items_of(call, 0), a.end - a.from, call->arena);
        tni_item_set_open(&other, items_of(call, 1), b.end - b.from, call->arena);
        for (uint32_t i = b.from; i < b.end; i++)
            tni_item_set_add(&other, i);
        for (uint32_t i = a.from; tni_row_ok(call, row) && i < a.end; i++)
            if (tni_item_set_has(&other, items_of(call, 0), i) == is_wanted &&
                tni_item_set_add(&seen, i))
                tni_list_add(&list, i);
        tni_list_end(&list);
    }
    tni_list_close(&list, items_of(call, 0));
}

static void kernel_except(struct tn_call *call)
{
    pick(call, false);
}

static void kernel_intersect(struct tn_call *call)
{
    pick(call, true);
}

static void kernel_remove(struct tn_call *call)
{
    struct tni_list list;
    const struct tn_column *items = items_of(call, 0), *victim = &call->args[1];
    tni_list_open(&list, call, items->rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span span = span_of(call, 0, row);
        if (is_stream(call) && tni_arg_null(call, 0, row))
            tni_null(call, row);
        for (uint32_t i = span.from; tni_row_ok(call, row) && i < span.end; i++)
            if (!tn_column_same(items, i, victim, tni_arg_row(call, 1, row)))
                tni_list_add(&list, i);
        tni_list_end(&list);
    }
    tni_list_close(&list, items);
}

static void kernel_reverse(struct tn_call *call)
{
    struct tni_list list;
    tni_list_open(&list, call, items_of(call, 0)->rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span span = span_of(call, 0, row);
        for (uint32_t i = span.end; i > span.from; i--)
            tni_list_add(&list, i - 1);
        tni_list_end(&list);
    }
    tni_list_close(&list, items_of(call, 0));
}

struct sorting {
    const struct tn_column *items;
    struct tn_arena *arena;
    int direction;
};

/* NULL items last, in both directions; equal items keep their order. */
static int sort_cmp(const void *a, const void *b, void *context)
{
    const struct sorting *sorting = context;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    bool x_null = tn_column_is_null(sorting->items, x);
    bool y_null = tn_column_is_null(sorting->items, y);
    int c = x_null || y_null ? x_null - y_null
                             : tni_item_cmp(sorting->items, x, sorting->items, y, sorting->arena) *
                                   sorting->direction;
    return c ? c : (x > y) - (x < y);
}

static void kernel_sort(struct tn_call *call)
{
    struct tni_list list;
    struct sorting sorting = {items_of(call, 0), call->arena, 1};
    tni_list_open(&list, call, items_of(call, 0)->rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span span = span_of(call, 0, row);
        uint32_t before = list.count;
        if (call->args_count == 2 && tni_row_ok(call, row)) {
            struct tn_str word = tni_arg_str(call, 1, row);
            bool is_desc = word.len >= 4 && strncasecmp(word.ptr, "desc", 4) == 0;
            sorting.direction = is_desc ? -1 : 1;
            if (!is_desc && !(word.len >= 3 && strncasecmp(word.ptr, "asc", 3) == 0))
                tni_null(call, row);
        }
        for (uint32_t i = span.from; i < span.end; i++)
            tni_list_add(&list, i);
        if (list.count > before)
            qsort_r(list.items + before, list.count - before, sizeof *list.items, sort_cmp,
                    &sorting);
        tni_list_end(&list);
    }
    tni_list_close(&list, sorting.items);
}

/* slice(array, start, length) of query rules. */
static void kernel_slice(struct tn_call *call)
{
    struct tni_list list;
    tni_list_open(&list, call, 64);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span span = span_of(call, 0, row);
        int64_t start = tni_arg_i64(call, 1, row), length = tni_arg_i64(call, 2, row);
        int64_t count = span.end - span.from;
        if (tni_row_ok(call, row) && start == 0)
            tni_error_argument(call, row, "SQL array indices start at 1");
        else if (tni_row_ok(call, row) && length < 0)
            tni_error_argument(call, row, "length must be greater than or equal to 0");
        if (start < 0)
            start += count + 1;
        if (tni_row_ok(call, row) && start >= 1 && start <= count)
            for (int64_t i = start; i <= count && i - start < length; i++)
                tni_list_add(&list, span.from + (uint32_t)i - 1);
        tni_list_end(&list);
    }
    tni_list_close(&list, items_of(call, 0));
}

/* SLICE(array, from, to) of stream rules: both bounds belong to it, a NULL bound is the end of the
 * array. */
static void kernel_slice_stream(struct tn_call *call)
{
    struct tni_list list;
    tni_list_open(&list, call, 64);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span span = span_of(call, 0, row);
        int64_t count = span.end - span.from;
        int64_t from = tni_arg_null(call, 1, row) ? 1 : tni_arg_i64(call, 1, row);
        int64_t to = tni_arg_null(call, 2, row) ? count : tni_arg_i64(call, 2, row);
        if (tni_arg_null(call, 0, row) || from < 1 || to > count || from > to + 1)
            tni_null(call, row);
        for (int64_t i = from; tni_row_ok(call, row) && i <= to; i++)
            tni_list_add(&list, span.from + (uint32_t)i - 1);
        tni_list_end(&list);
    }
    tni_list_close(&list, items_of(call, 0));
}

static void kernel_flatten(struct tn_call *call)
{
    const struct tn_column *inner = items_of(call, 0);
    struct tni_list list;
    tni_list_open(&list, call, inner->children[0].rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span span = span_of(call, 0, row);
        for (uint32_t i = span.from; i < span.end; i++)
            for (int32_t k = inner->offsets[i];
                 !tn_column_is_null(inner, i) && k < inner->offsets[i + 1]; k++)
                tni_list_add(&list, (uint32_t)k);
        tni_list_end(&list);
    }
    tni_list_close(&list, &inner->children[0]);
}

/* repeat(x, n) */
static void kernel_repeat(struct tn_call *call)
{
    struct tni_list list;
    tni_list_open(&list, call, 64);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t count = tni_arg_null(call, 1, row) ? 0 : tni_arg_i64(call, 1, row);
        if (tni_arg_null(call, 1, row))
            tni_null(call, row);
        else if (count < 0 || count > 10000)
            tni_error_argument(call, row, "count must be between 0 and 10000");
        for (int64_t i = 0; tni_row_ok(call, row) && i < count; i++)
            tni_list_add(&list, tni_arg_row(call, 0, row));
        tni_list_end(&list);
    }
    tni_list_close(&list, &call->args[0]);
}

/* ---- lists from several arguments ---- */

/* All items of the arguments as one column; starts[k] = where those of argument k begin. */
static void append_items(struct tn_call *call, struct tn_column *ret_items, uint32_t *starts)
{
    const struct tn_column **cols =
        TN_ARENA_ARRAY(call->arena, const struct tn_column *, call->args_count);
    uint32_t total = 0;
    for (uint32_t arg = 0; arg < call->args_count; arg++) {
        bool is_list = call->args[arg].type->kind == TN_K_ARRAY;
        /* an element beside an array stands for itself */
        cols[arg] = is_list && tn_type_eq(call->args[arg].type, call->type) ? items_of(call, arg)
                                                                            : &call->args[arg];
        starts[arg] = total;
        total += cols[arg]->rows_count;
    }
    tni_column_append(cols, call->args_count, ret_items, call->arena);
}

static bool is_list_arg(const struct tn_call *call, uint32_t arg)
{
    return tn_type_eq(call->args[arg].type, call->type);
}

static void kernel_concat(struct tn_call *call)
{
    struct tn_column items;
    struct tni_list list;
    uint32_t *starts = TN_ARENA_ARRAY(call->arena, uint32_t, call->args_count);
    append_items(call, &items, starts);
    tni_list_open(&list, call, items.rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        bool is_any = false;
        for (uint32_t arg = 0; arg < call->args_count; arg++) {
            if (!is_list_arg(call, arg)) {
                tni_list_add(&list, starts[arg] + tni_arg_row(call, arg, row));
                continue;
            }
            is_any |= !tni_arg_null(call, arg, row);
            struct span span = span_of(call, arg, row);
            for (uint32_t i = span.from; tni_row_ok(call, row) && i < span.end; i++)
                tni_list_add(&list, starts[arg] + i);
        }
        if (is_stream(call) && !is_any)
            tni_null(call, row); /* ARRAY_CONCAT leaves a NULL array out */
        tni_list_end(&list);
    }
    tni_list_close(&list, &items);
}

static void kernel_union(struct tn_call *call)
{
    struct tn_column items;
    struct tni_list list;
    uint32_t starts[2] = {0};
    append_items(call, &items, starts);
    tni_list_open(&list, call, items.rows_count);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span spans[2] = {span_of(call, 0, row), span_of(call, 1, row)};
        struct tni_item_set set;
        tni_item_set_open(&set, &items, spans[0].end - spans[0].from + spans[1].end - spans[1].from,
                          call->arena);
        for (uint32_t k = 0; tni_row_ok(call, row) && k < 2; k++)
            for (uint32_t i = spans[k].from; i < spans[k].end; i++)
                if (tni_item_set_add(&set, starts[k] + i))
                    tni_list_add(&list, starts[k] + i);
        tni_list_end(&list);
    }
    tni_list_close(&list, &items);
}

/* sequence(a, b [, step]), GENERATE_SERIES */
static void kernel_sequence(struct tn_call *call)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    const struct tn_type *type = call->type->children[0].type;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_value list = {.type = call->type, .is_null = !tni_row_ok(call, row)};
        int64_t from = tni_arg_int(call, 0, row), to = tni_arg_int(call, 1, row);
        int64_t step = call->args_count == 3 ? tni_arg_int(call, 2, row) : from <= to ? 1 : -1;
        tn_int128 count = step ? ((tn_int128)to - from) / step + 1 : 0;
        if (!list.is_null && (step == 0 || count <= 0 || count > ITEMS_MAX)) {
            tni_error_argument(call, row,
                               step == 0    ? "step must not be zero"
                               : count <= 0 ? "the stop value must lie in the direction of the step"
                                            : "a sequence has at most %d items",
                               ITEMS_MAX);
            list.is_null = true;
        }
        if (!list.is_null && !tn_arena_over(call->arena)) {
            list.list.count = (uint32_t)count;
            list.list.items = TN_ARENA_ARRAY(call->arena, struct tn_value, list.list.count);
            for (uint32_t i = 0; i < list.list.count; i++)
                list.list.items[i] =
                    (struct tn_value){.type = type, .i = (int64_t)(from + (tn_int128)i * step)};
        }
        tn_colbuilder_add(builder, &list);
    }
    tni_finish(call, builder);
}

/* ---- text of items ---- */

static void kernel_join(struct tn_call *call)
{
    const struct tn_column *items = items_of(call, 0);
    struct tni_text out;
    struct tn_buf buf;
    tn_buf_init(&buf, (size_t)64 << 20);
    tni_text_open(&out, call, (size_t)call->rows_count * 16);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct span span = span_of(call, 0, row);
        struct tn_str by = call->args_count > 1 ? tni_arg_str(call, 1, row) : TN_STR(",");
        bool has_null = is_stream(call) || call->args_count == 3;
        struct tn_str null = call->args_count == 3 ? tni_arg_str(call, 2, row) : TN_STR("null");
        bool is_first = true;
        tn_buf_reset(&buf);
        for (uint32_t i = span.from; tni_row_ok(call, row) && i < span.end; i++) {
            bool is_null = tn_column_is_null(items, i);
            if (is_null && !has_null)
                continue;
            if (!is_first)
                tn_buf_add_str(&buf, by);
            is_first = false;
            struct tn_value value = tn_column_value(items, i, call->arena);
            if (is_null)
                tn_buf_add_str(&buf, null);
            else
                tni_value_print(&value, is_stream(call) ? TN_RULES_STREAM : TN_RULES_QUERY, &buf);
        }
        tni_text_row(&out, tn_buf_str(&buf));
    }
    tn_buf_release(&buf);
    tni_text_close(&out);
}

/* ---- types ---- */

static enum tn_rules rules_of(const struct tn_func *func)
{
    return func->flags & TN_FN_QUERY ? TN_RULES_QUERY : TN_RULES_STREAM;
}

/* The array beside a value or another array: both to one element type. */
static enum tn_status unify(const struct tn_func *func, const struct tn_type **arg_types,
                            struct tn_arena *arena)
{
    if (arg_types[0]->kind != TN_K_ARRAY)
        return TN_E_TYPE;
    bool is_list = arg_types[1]->kind == TN_K_ARRAY && func->args[1] == 'A';
    const struct tn_type *other = is_list ? arg_types[1]->children[0].type : arg_types[1];
    const struct tn_type *type =
        tn_type_common(arg_types[0]->children[0].type, other, rules_of(func), arena);
    if (!type)
        return TN_E_TYPE;
    arg_types[0] = tn_type_array(arena, type);
    arg_types[1] = is_list ? arg_types[0] : type;
    return TN_OK;
}

#define RESOLVE_PAIR(NAME, RESULT)                                                                 \
    static enum tn_status NAME(const struct tn_func *func, const struct tn_type **arg_types,       \
                               uint32_t args_count, struct tn_arena *arena,                        \
                               const struct tn_type **ret_type)                                    \
    {                                                                                              \
        (void)args_count;                                                                          \
        TN_TRY(unify(func, arg_types, arena));                                                     \
        *ret_type = (RESULT);                                                                      \
        return TN_OK;                                                                              \
    }

RESOLVE_PAIR(resolve_pair_array, arg_types[0])
RESOLVE_PAIR(resolve_pair_boolean, tn_type_of(TN_K_BOOLEAN))
RESOLVE_PAIR(resolve_pair_bigint, tn_type_of(TN_K_BIGINT))

static enum tn_status resolve_same(const struct tn_func *func, const struct tn_type **arg_types,
                                   uint32_t args_count, struct tn_arena *arena,
                                   const struct tn_type **ret_type)
{
    (void)func;
    (void)args_count;
    (void)arena;
    if (arg_types[0]->kind != TN_K_ARRAY)
        return TN_E_TYPE;
    *ret_type = arg_types[0];
    return TN_OK;
}

static enum tn_status resolve_item(const struct tn_func *func, const struct tn_type **arg_types,
                                   uint32_t args_count, struct tn_arena *arena,
                                   const struct tn_type **ret_type)
{
    TN_TRY(resolve_same(func, arg_types, args_count, arena, ret_type));
    *ret_type = arg_types[0]->children[0].type;
    return TN_OK;
}

static enum tn_status resolve_flatten(const struct tn_func *func, const struct tn_type **arg_types,
                                      uint32_t args_count, struct tn_arena *arena,
                                      const struct tn_type **ret_type)
{
    TN_TRY(resolve_item(func, arg_types, args_count, arena, ret_type));
    return (*ret_type)->kind == TN_K_ARRAY ? TN_OK : TN_E_TYPE;
}

static enum tn_status resolve_repeat(const struct tn_func *func, const struct tn_type **arg_types,
                                     uint32_t args_count, struct tn_arena *arena,
                                     const struct tn_type **ret_type)
{
    (void)func;
    (void)args_count;
    *ret_type = tn_type_array(arena, arg_types[0]);
    return TN_OK;
}

static enum tn_status resolve_sequence(const struct tn_func *func, const struct tn_type **arg_types,
                                       uint32_t args_count, struct tn_arena *arena,
                                       const struct tn_type **ret_type)
{
    TN_TRY(tni_resolve_common(func, arg_types, args_count > 2 ? 2 : args_count, arena, ret_type));
    if ((*ret_type)->kind != TN_K_INTEGER && (*ret_type)->kind != TN_K_BIGINT)
        return TN_E_TYPE;
    if (func->flags & TN_FN_QUERY)
        *ret_type = tn_type_of(TN_K_BIGINT);
    *ret_type = tn_type_array(arena, *ret_type);
    return TN_OK;
}

static enum tn_status resolve_join(const struct tn_func *func, const struct tn_type **arg_types,
                                   uint32_t args_count, struct tn_arena *arena,
                                   const struct tn_type **ret_type)
{
    TN_TRY(resolve_same(func, arg_types, args_count, arena, ret_type));
    *ret_type = tn_type_of(TN_K_VARCHAR);
    return tn_kind_is_nested(arg_types[0]->children[0].type->kind) ? TN_E_TYPE : TN_OK;
}

/* a || b: arrays of one type, or an element before or behind one. */
static enum tn_status resolve_append(const struct tn_func *func, const struct tn_type **arg_types,
                                     uint32_t args_count, struct tn_arena *arena,
                                     const struct tn_type **ret_type)
{
    const struct tn_type *list = NULL;
    for (uint32_t i = 0; i < args_count && !list; i++)
        if (arg_types[i]->kind == TN_K_ARRAY)
            list = arg_types[i];
    if (!list)
        return TN_E_TYPE;
    for (uint32_t i = 0; i < args_count; i++) {
        const struct tn_type *both = tn_type_common(list, arg_types[i], rules_of(func), arena);
        bool is_item = !both && args_count == 2 && func->name[0] == '|';
        if (is_item) {
            const struct tn_type *item =
                tn_type_common(list->children[0].type, arg_types[i], rules_of(func), arena);
            both = item ? tn_type_array(arena, item) : NULL;
        }
        if (!both)
            return TN_E_TYPE;
        list = both;
    }
    for (uint32_t i = 0; i < args_count; i++)
        arg_types[i] = tn_type_common(list, arg_types[i], rules_of(func), arena)
                           ? list
                           : list->children[0].type;
    *ret_type = list;
    return TN_OK;
}

#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM
#define BOTH_RULES(NAME, ARGS, RESOLVE, FN, HELP)                                                  \
    TNI_FN_TYPED(NAME, QUERY, ARGS, RESOLVE, FN, HELP),                                            \
        TNI_FN_TYPED(NAME, STREAM, ARGS, RESOLVE, FN, HELP)

static const struct tn_func rows[] = {
    TNI_FN("cardinality", QUERY, "A", BIGINT, kernel_cardinality, "number of items"),
    TNI_FN("cardinality", QUERY, "M", BIGINT, kernel_cardinality, "number of entries"),
    TNI_FN("array_length", STREAM, "A", INTEGER, kernel_cardinality, "number of items"),
    TNI_FN_TYPED("contains", QUERY, "A*", resolve_pair_boolean, kernel_contains,
                 "whether the value is an item"),
    TNI_FN_TYPED("array_contains", STREAM | TN_FN_NULL_CALL, "A*", resolve_pair_boolean,
                 kernel_array_contains, "whether the value is an item"),
    TNI_FN_TYPED("array_position", QUERY, "A*", resolve_pair_bigint, kernel_position,
                 "place of the value, 0 if absent"),
    BOTH_RULES("array_max", "A", resolve_item, kernel_array_max, "largest item"),
    BOTH_RULES("array_min", "A", resolve_item, kernel_array_min, "smallest item"),
    TNI_FN_TYPED("element_at", QUERY, "Al", resolve_item, kernel_element_at,
                 "n-th item, from the end when negative, NULL outside"),
    TNI_FN_TYPED("arrays_overlap", QUERY, "AA", resolve_pair_boolean, kernel_overlap,
                 "whether the arrays share an item"),
    BOTH_RULES("array_distinct", "A", resolve_same, kernel_distinct, "items without repetitions"),
    BOTH_RULES("array_except", "AA", resolve_pair_array, kernel_except,
               "items of the first that are not in the second"),
    BOTH_RULES("array_intersect", "AA", resolve_pair_array, kernel_intersect,
               "items that are in both"),
    BOTH_RULES("array_union", "AA", resolve_pair_array, kernel_union, "items that are in either"),
    TNI_FN_TYPED("array_remove", QUERY, "A*", resolve_pair_array, kernel_remove,
                 "without items equal to the value"),
    TNI_FN_TYPED("array_remove", STREAM | TN_FN_NULL_CALL, "A*", resolve_pair_array, kernel_remove,
                 "without items equal to the value"),
    TNI_FN_TYPED("reverse", QUERY, "A", resolve_same, kernel_reverse, "items in reverse order"),
    BOTH_RULES("array_sort", "A", resolve_same, kernel_sort, "items in ascending order"),
    TNI_FN_TYPED("array_sort", STREAM, "As", resolve_same, kernel_sort,
                 "items in ascending or descending order"),
    TNI_FN_TYPED("slice", QUERY, "All", resolve_same, kernel_slice, "m items from the n-th on"),
    TNI_FN_TYPED("slice", STREAM | TN_FN_NULL_CALL, "All", resolve_same, kernel_slice_stream,
                 "items from place n to place m"),
    TNI_FN_TYPED("flatten", QUERY, "A", resolve_flatten, kernel_flatten,
                 "items of the arrays in an array"),
    TNI_FN_TYPED("repeat", QUERY | TN_FN_NULL_CALL, "*l", resolve_repeat, kernel_repeat,
                 "array of n times the value"),
    TNI_FN_TYPED("concat", QUERY | TN_FN_VARARGS, "AAA", resolve_append, kernel_concat,
                 "arrays joined"),
    TNI_FN_TYPED("||", QUERY | TN_FN_INTERNAL, "AA", resolve_append, kernel_concat, NULL),
    TNI_FN_TYPED("||", QUERY | TN_FN_INTERNAL, "A*", resolve_append, kernel_concat, NULL),
    TNI_FN_TYPED("||", QUERY | TN_FN_INTERNAL, "*A", resolve_append, kernel_concat, NULL),
    TNI_FN_TYPED("array_concat", STREAM | TN_FN_NULL_CALL, "AA", resolve_append, kernel_concat,
                 "arrays joined"),
    TNI_FN_TYPED("sequence", QUERY, "ll", resolve_sequence, kernel_sequence,
                 "whole numbers from a to b"),
    TNI_FN_TYPED("sequence", QUERY, "lll", resolve_sequence, kernel_sequence,
                 "numbers from a to b by a step"),
    TNI_FN_TYPED("generate_series", STREAM, "ii", resolve_sequence, kernel_sequence,
                 "whole numbers from a to b"),
    TNI_FN_TYPED("generate_series", STREAM, "ll", resolve_sequence, kernel_sequence,
                 "whole numbers from a to b"),
    TNI_FN_TYPED("generate_series", STREAM, "iii", resolve_sequence, kernel_sequence,
                 "numbers from a to b by a step"),
    TNI_FN_TYPED("generate_series", STREAM, "lli", resolve_sequence, kernel_sequence,
                 "numbers from a to b by a step"),
    TNI_FN_TYPED("array_join", QUERY, "As", resolve_join, kernel_join, "items as text, joined"),
    TNI_FN_TYPED("array_join", QUERY, "Ass", resolve_join, kernel_join,
                 "items as text, joined, NULL replaced"),
    TNI_FN_TYPED("array_join", STREAM, "A", resolve_join, kernel_join,
                 "items as text, joined by commas"),
    TNI_FN_TYPED("array_join", STREAM, "As", resolve_join, kernel_join, "items as text, joined"),
};

TNI_TABLE(array);
