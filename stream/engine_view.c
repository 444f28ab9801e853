/* The committed view: pins and table scans. @thread any
 *
 * A pin is a commit number and the state port as of the last flush (ktable.h). A scan reads the
 * last store of a query through it (open rounds are never seen) and runs the nodes between that
 * store and the sink over the rows, so that a scan shows what the result topic would fold to. A
 * recovery replaces tables; a pin from before it is refused, the statement is run again by its
 * caller.
 *
 * Key filters. Equal and range predicates are on the table's key columns. Where these are plain
 * columns of the store's key, they become byte ranges of it; whatever the way, rows are checked
 * against the filter once more at the end.
 */
#include "stream/engine_int.h"

#include <string.h>

#include "stream/base/mem.h"
#include "stream/keycode.h"

#define ROWS_MAX TN_BATCH_ROWS_MAX

struct tn_pin {
    struct tn_engine *engine;
    struct tni_view_pin view;
    int64_t epoch;
};

enum tn_status tn_engine_pin(struct tn_engine *engine, struct tn_pin **ret_pin, struct tn_err *err)
{
    (void)err;
    struct tn_pin *pin = tn_alloc(sizeof *pin);
    pin->engine = engine;
    pin->epoch = atomic_load(&engine->epoch);
    tni_view_pin(&engine->view, &pin->view);
    *ret_pin = pin;
    return TN_OK;
}

void tn_pin_free(struct tn_pin *pin)
{
    if (!pin)
        return;
    struct tn_engine *engine = pin->engine;
    tni_view_unpin(&engine->view, &pin->view);
    atomic_store(&engine->is_gc_wanted, true);
    tn_free(pin);
}

int64_t tn_pin_commit(const struct tn_pin *pin)
{
    return pin->view.commit;
}

/* ---- scans ---- */

struct tn_table_scan {
    struct tn_pin *pin;
    struct tn_plan *plan;
    const struct tn_stage *stage;
    const struct tn_node *store;               /* AGGREGATE or MATERIALIZE whose rows are read */
    const struct tn_node *chain[TN_NODES_MAX]; /* from behind it to the sink */
    uint32_t chain_count;
    uint32_t keys_count; /* of the store */
    const struct tn_schema *schema;
    struct tn_arena schema_arena; /* holds the copy of the shown schema */
    struct tni_ktable **tables;   /* by partition */
    struct tni_ktable **holds;    /* what is held back of each; NULL: this table holds nothing */
    enum { ALL_ROWS, HELD_NOW, HELD_BEFORE } which;
    uint32_t tables_count, table;
    struct tni_scan *scan;
    const struct tn_key_filter *filter;
    uint32_t table_keys_count; /* key columns of the table */
    uint32_t *key_of;          /* table key column → store key column; NULL when not plain */
    bool *needed;              /* store value columns */
    struct tn_buf low, high;
    struct tni_scan_range range;
    struct tn_str *points; /* whole keys to get, when has_points */
    uint32_t points_count;
    bool has_points;
    uint32_t range_key;    /* windowed equality: next key to scan */
    struct tn_arena arena; /* of one batch */
    const bool **wanted;   /* output columns that matter, per node of the chain; NULL = all */
    struct tn_arena keep;  /* as long as the scan */
};

static const struct tn_stage *last_stage(const struct tn_plan *plan)
{
    return &plan->stages[plan->stages_count - 1];
}

static int end_node(const struct tn_stage *stage)
{
    for (uint32_t i = stage->nodes_count; i--;)
        if (stage->nodes[i].kind == TN_NODE_SINK)
            return (int)i;
    return (int)stage->nodes_count - 1;
}

static enum tn_status find_chain(struct tn_table_scan *scan, struct tn_err *err)
{
    scan->stage = last_stage(scan->plan);
    uint32_t reversed[TN_NODES_MAX], count = 0;
    for (int n = end_node(scan->stage); n >= 0; n = scan->stage->nodes[n].input) {
        const struct tn_node *node = &scan->stage->nodes[n];
        if (node->kind == TN_NODE_AGGREGATE || node->kind == TN_NODE_MATERIALIZE) {
            scan->store = node;
            break;
        }
        if (node->kind == TN_NODE_FILTER || node->kind == TN_NODE_PROJECT)
            reversed[count++] = (uint32_t)n;
        else if (node->kind != TN_NODE_SINK && node->kind != TN_NODE_HOLD)
            break;
    }
    if (!scan->store)
        return tn_err_set(err, TN_E_INVALID, "query '%s' keeps no table", scan->plan->query_id);
    while (count)
        scan->chain[scan->chain_count++] = &scan->stage->nodes[reversed[--count]];
    return TN_OK;
}

/* Column of the store's schema behind column `col` of the table; −1 when it is computed. */
static int trace_column(const struct tn_table_scan *scan, uint32_t col)
{
    int at = (int)col;
    for (uint32_t i = scan->chain_count; i-- && at >= 0;) {
        const struct tn_node *node = scan->chain[i];
        if (node->kind != TN_NODE_PROJECT)
            continue;
        const struct tn_expr *expr = node->exprs[at];
        at = expr->kind == TN_E_COLUMN ? expr->column : -1;
    }
    return at;
}

/* Table key columns as store key columns, when all are plain and all of the store's key is there.
 */
static void trace_keys(struct tn_table_scan *scan)
{
    uint32_t *key_of = TN_ARENA_ARRAY(&scan->keep, uint32_t, scan->table_keys_count + 1);
    bool seen[TN_NODES_MAX] = {false};
    if (scan->table_keys_count != scan->keys_count || scan->keys_count > TN_NODES_MAX)
        return;
    for (uint32_t k = 0; k < scan->table_keys_count; k++) {
        int at = trace_column(scan, k);
        if (at < 0 || (uint32_t)at >= scan->keys_count || seen[at])
            return;
        seen[at] = true;
        key_of[k] = (uint32_t)at;
    }
    scan->key_of = key_of;
}

/* Columns of the store that the chain and the wanted columns read. */
static void trace_needed(struct tn_table_scan *scan, const bool *needed)
{
    uint32_t count = scan->store->schema->fields_count;
    bool *mask = TN_ARENA_ARRAY(&scan->keep, bool, count + scan->schema->fields_count);
    bool *want =
        TN_ARENA_ARRAY(&scan->keep, bool, count + scan->schema->fields_count + TN_NODES_MAX);
    if (!needed)
        return;
    scan->wanted = TN_ARENA_ARRAY(&scan->keep, const bool *, scan->chain_count + 1);
    for (uint32_t i = 0; i < scan->schema->fields_count; i++)
        want[i] = needed[i] || i < scan->table_keys_count;
    for (uint32_t i = scan->chain_count; i--;) {
        const struct tn_node *node = scan->chain[i];
        scan->wanted[i] = want;
        if (node->kind == TN_NODE_FILTER) {
            tn_expr_columns(node->exprs[0], 0, want);
            continue;
        }
        uint32_t in_count = scan->stage->nodes[node->input].schema->fields_count;
        bool *next = TN_ARENA_ARRAY(&scan->keep, bool, in_count + scan->schema->fields_count);
        for (uint32_t e = 0; e < node->exprs_count; e++)
            if (want[e])
                tn_expr_columns(node->exprs[e], 0, next);
        want = next;
    }
    memcpy(mask, want, count * sizeof *mask);
    scan->needed = mask + scan->keys_count;
}

/* ---- filter to bytes ---- */

/* The literal as the store's key type: integers may come in another width. NULL type: not
 * comparable by bytes. */
static struct tn_value as_key(const struct tn_value *value, const struct tn_type *type)
{
    struct tn_value out = *value;
    bool is_int = (value->type->kind == TN_K_INTEGER || value->type->kind == TN_K_BIGINT) &&
                  (type->kind == TN_K_INTEGER || type->kind == TN_K_BIGINT);
    bool fits = type->kind != TN_K_INTEGER || (value->i >= INT32_MIN && value->i <= INT32_MAX);
    if (tn_type_eq(value->type, type) || (is_int && fits))
        out.type = type;
    else
        out.type = NULL;
    return out;
}

static bool add_key_bytes(struct tn_table_scan *scan, const struct tn_value *values,
                          struct tn_buf *buf)
{
    for (uint32_t s = 0; s < scan->keys_count; s++)
        for (uint32_t k = 0; k < scan->table_keys_count; k++) {
            if (scan->key_of[k] != s)
                continue;
            struct tn_value value = as_key(&values[k], scan->store->schema->fields[s].type);
            if (!value.type)
                return false;
            tni_keycode_add_value(buf, &value);
        }
    return true;
}

static bool make_points(struct tn_table_scan *scan)
{
    const struct tn_key_filter *filter = scan->filter;
    if (!scan->key_of)
        return false;
    scan->points = TN_ARENA_ARRAY(&scan->keep, struct tn_str, filter->keys_count);
    for (uint32_t i = 0; i < filter->keys_count; i++) {
        tn_buf_reset(&scan->low);
        if (!add_key_bytes(scan, filter->keys[i], &scan->low))
            return false;
        scan->points[scan->points_count++] = tn_arena_str(&scan->keep, tn_buf_str(&scan->low));
    }
    return true;
}

static void make_range(struct tn_table_scan *scan)
{
    const struct tn_key_filter *filter = scan->filter;
    scan->range = (struct tni_scan_range){.start_from_ms = INT64_MIN, .start_to_ms = INT64_MAX};
    if (!filter)
        return;
    scan->range.start_from_ms = filter->window_from_ms;
    scan->range.start_to_ms = filter->window_to_ms;
    if (filter->keys_count || !scan->key_of || scan->key_of[0] != 0)
        return;
    const struct tn_type *type = scan->store->schema->fields[0].type;
    if (filter->low) {
        struct tn_value low = as_key(filter->low, type);
        if (low.type) {
            tni_keycode_add_value(&scan->low, &low);
            scan->range.low = tn_buf_str(&scan->low); /* strictness is checked on the rows */
        }
    }
    if (filter->high) {
        struct tn_value high = as_key(filter->high, type);
        if (high.type) {
            tni_keycode_add_value(&scan->high, &high);
            if (tni_keycode_successor(scan->high.ptr, &scan->high.len))
                scan->range.high = tn_buf_str(&scan->high);
        }
    }
}

/* ---- opening ---- */

static void copy_schema(struct tn_table_scan *scan, const struct tn_schema *schema)
{
    struct tn_field *fields =
        TN_ARENA_ARRAY(&scan->schema_arena, struct tn_field, schema->fields_count + 1);
    memcpy(fields, schema->fields, schema->fields_count * sizeof *fields);
    struct tn_schema *copy = TN_ARENA_NEW(&scan->schema_arena, struct tn_schema);
    *copy = (struct tn_schema){.fields_count = schema->fields_count, .fields = fields};
    scan->schema = copy; /* names and types stay in the plan, which the scan holds */
}

/* Number of the node that holds back the results of the store; −1 = none does. */
static int hold_of(const struct tn_table_scan *scan)
{
    int number = (int)(scan->store - scan->stage->nodes);
    for (uint32_t i = 0; i < scan->stage->nodes_count; i++)
        if (scan->stage->nodes[i].kind == TN_NODE_HOLD && scan->stage->nodes[i].input == number)
            return (int)i;
    return -1;
}

static void room_for_tables(struct tn_table_scan *scan, const struct tni_query *query)
{
    scan->tables = TN_ARENA_ARRAY(&scan->keep, struct tni_ktable *, query->tasks_count);
    if (hold_of(scan) >= 0)
        scan->holds = TN_ARENA_ARRAY(&scan->keep, struct tni_ktable *, query->tasks_count);
}

static void take_table(struct tn_table_scan *scan, const struct tni_task *task)
{
    uint32_t number = (uint32_t)(scan->store - scan->stage->nodes);
    int hold = hold_of(scan);
    if (hold >= 0)
        scan->holds[scan->tables_count] = tni_ktable_ref(task->ops[hold].kt);
    scan->tables[scan->tables_count++] = tni_ktable_ref(task->ops[number].kt);
}

/* What is here of what is wanted; the rest is named, not refused. */
static void take_parts(struct tn_table_scan *scan, struct tni_query *query,
                       struct tn_scan_parts *parts)
{
    uint32_t number = (uint32_t)(scan->store - scan->stage->nodes);
    room_for_tables(scan, query);
    for (uint32_t t = 0; t < query->tasks_count; t++) {
        struct tni_task *task = &query->tasks[t];
        int32_t p = task->partition;
        if (task->is_global || task->stage != scan->stage)
            continue;
        scan->keys_count = task->ops[number].keys_count;
        if (parts->wanted && !tni_bit_is_set(parts->wanted, p))
            continue;
        int state = atomic_load(&task->state);
        bool is_here = task->is_owned ? state == TNI_TASK_RUNNING
                                      : parts->has_standbys && state == TNI_TASK_STANDBY;
        if (is_here && task->ops[number].kt) {
            take_table(scan, task);
            continue;
        }
        parts->missing[p / 8] |= (uint8_t)(1u << (p % 8));
        parts->missing_count++;
    }
}

static enum tn_status take_tables(struct tn_table_scan *scan, struct tni_query *query,
                                  struct tn_err *err)
{
    uint32_t number = (uint32_t)(scan->store - scan->stage->nodes);
    room_for_tables(scan, query);
    for (uint32_t t = 0; t < query->tasks_count; t++) {
        struct tni_task *task = &query->tasks[t];
        if (task->is_global || task->stage != scan->stage)
            continue;
        scan->keys_count = task->ops[number].keys_count;
        if (!task->is_owned && query->engine->config.is_scan_partial)
            continue;
        if (!task->is_owned && atomic_load(&task->state) != TNI_TASK_STANDBY) {
            return tn_err_set(
                err, TN_E_BUSY, "partition %d of query '%s' is at another process of '%s'",
                task->partition, query->plan->query_id, query->engine->application_id);
        }
        bool is_usable = !task->is_owned || atomic_load(&task->state) == TNI_TASK_RUNNING;
        if (!is_usable || !task->ops[number].kt)
            return tn_err_set(err, TN_E_BUSY,
                              "the table of query '%s' is being restored: %lld of %lld records",
                              query->plan->query_id, (long long)atomic_load(&query->restore_done),
                              (long long)atomic_load(&query->restore_total));
        take_table(scan, task);
    }
    return TN_OK;
}

static enum tn_status take_query(struct tn_table_scan *scan, struct tn_engine *engine,
                                 const char *query_id, struct tn_scan_parts *parts,
                                 struct tn_err *err)
{
    struct tni_query *query = tni_engine_find(engine, query_id);
    if (!query)
        return tn_err_set(err, TN_E_NAME, "no query '%s' is running", query_id);
    if (scan->pin->epoch != atomic_load(&engine->epoch)) {
        tn_err_set(err, TN_E_BUSY, "state was loaded anew after the statement began");
        if (err)
            err->retriable = true;
        return TN_E_BUSY;
    }
    scan->plan = tn_plan_ref(query->plan);
    copy_schema(scan, query->shown_schema);
    TN_TRY(find_chain(scan, err));
    if (!parts)
        return take_tables(scan, query, err);
    take_parts(scan, query, parts);
    return TN_OK;
}

static struct tn_value *copy_values(struct tn_arena *arena, const struct tn_value *from,
                                    uint32_t count)
{
    struct tn_value *to = TN_ARENA_ARRAY(arena, struct tn_value, count);
    for (uint32_t i = 0; i < count; i++) {
        to[i] = from[i];
        if (!from[i].is_null && tn_kind_is_varlen(from[i].type->kind))
            to[i].s = tn_arena_str(arena, from[i].s);
    }
    return to;
}

/* The caller's filter need not outlive the call. */
static const struct tn_key_filter *copy_filter(struct tn_table_scan *scan,
                                               const struct tn_key_filter *filter)
{
    struct tn_key_filter *copy = TN_ARENA_NEW(&scan->keep, struct tn_key_filter);
    *copy = *filter;
    const struct tn_value **keys =
        TN_ARENA_ARRAY(&scan->keep, const struct tn_value *, filter->keys_count + 1);
    for (uint32_t i = 0; i < filter->keys_count; i++)
        keys[i] = copy_values(&scan->keep, filter->keys[i], scan->table_keys_count);
    copy->keys = keys;
    copy->low = filter->low ? copy_values(&scan->keep, filter->low, 1) : NULL;
    copy->high = filter->high ? copy_values(&scan->keep, filter->high, 1) : NULL;
    return copy;
}

enum tn_status tn_table_scan_open(struct tn_engine *engine, struct tn_pin *pin,
                                  const char *query_id, const struct tn_key_filter *filter,
                                  const bool *needed, struct tn_table_scan **ret_scan,
                                  struct tn_err *err)
{
    return tn_table_scan_open_parts(engine, pin, query_id, filter, needed, NULL, ret_scan, err);
}

enum tn_status tn_table_scan_open_parts(struct tn_engine *engine, struct tn_pin *pin,
                                        const char *query_id, const struct tn_key_filter *filter,
                                        const bool *needed, struct tn_scan_parts *parts,
                                        struct tn_table_scan **ret_scan, struct tn_err *err)
{
    struct tn_table_scan *scan = tn_alloc(sizeof *scan);
    scan->pin = pin;
    tn_buf_init(&scan->low, (size_t)1 << 20);
    tn_buf_init(&scan->high, (size_t)1 << 20);
    tn_arena_init(&scan->arena, 0);
    tn_arena_init(&scan->keep, 0);
    tn_arena_init(&scan->schema_arena, 0);
    pthread_mutex_lock(&engine->lock);
    enum tn_status st = take_query(scan, engine, query_id, parts, err);
    pthread_mutex_unlock(&engine->lock);
    if (tn_failed(st)) {
        tn_table_scan_close(scan);
        return st;
    }
    const struct tn_node *end = &scan->stage->nodes[end_node(scan->stage)];
    scan->table_keys_count = end->kind == TN_NODE_SINK ? end->decl->keys_count : scan->keys_count;
    scan->filter = filter ? copy_filter(scan, filter) : NULL;
    trace_keys(scan);
    trace_needed(scan, needed);
    scan->has_points = filter && filter->keys_count && make_points(scan);
    make_range(scan);
    *ret_scan = scan;
    return TN_OK;
}

void tn_table_scan_close(struct tn_table_scan *scan)
{
    if (!scan)
        return;
    tni_scan_close(scan->scan);
    for (uint32_t i = 0; i < scan->tables_count; i++)
        tni_ktable_unref(scan->tables[i]);
    for (uint32_t i = 0; scan->holds && i < scan->tables_count; i++)
        tni_ktable_unref(scan->holds[i]);
    tn_plan_unref(scan->plan);
    tn_buf_release(&scan->low);
    tn_buf_release(&scan->high);
    tn_arena_release(&scan->arena);
    tn_arena_release(&scan->keep);
    tn_arena_release(&scan->schema_arena);
    tn_free(scan);
}

const struct tn_schema *tn_table_scan_schema(const struct tn_table_scan *scan)
{
    return scan->schema;
}

bool tn_table_scan_held(struct tn_table_scan *scan, bool is_before)
{
    scan->which = is_before ? HELD_BEFORE : HELD_NOW;
    return scan->holds != NULL;
}

/* ---- reading ---- */

/* Rows of the HOLD's store (key bytes, row when a result last showed it) become those of the store
 * it holds; keys that have none are left out. */
static enum tn_status held_rows(struct tn_table_scan *scan, struct tni_row *rows,
                                uint32_t *ret_count, struct tn_err *err)
{
    struct tn_arena *arena = &scan->arena;
    uint32_t n = *ret_count, count = 0;
    struct tn_column keys, befores;
    struct tn_str *texts = TN_ARENA_ARRAY(arena, struct tn_str, n);
    struct tni_row *now = TN_ARENA_ARRAY(arena, struct tni_row, n);
    TN_TRY(tni_ktable_rows_columns(scan->holds[scan->table], rows, n, NULL, arena, &keys, &befores,
                                   NULL, NULL, NULL, err));
    for (uint32_t i = 0; i < n; i++)
        texts[i] = tn_column_str(&keys, i);
    if (scan->which == HELD_NOW)
        TN_TRY(
            tni_ktable_get(scan->tables[scan->table], &scan->pin->view, texts, n, arena, now, err));
    for (uint32_t i = 0; i < n; i++) {
        struct tn_str row = now[i].row;
        if (scan->which == HELD_BEFORE && !tn_column_is_null(&befores, i))
            row = tn_column_str(&befores, i);
        if (row.ptr)
            rows[count++] = (struct tni_row){.key = texts[i], .row = row};
    }
    *ret_count = count;
    return TN_OK;
}

/* Rows of whole keys without windows: one look-up per partition. */
static enum tn_status get_points(struct tn_table_scan *scan, struct tni_row *rows,
                                 uint32_t *ret_count, struct tn_err *err)
{
    struct tni_ktable *kt = scan->tables[scan->table++];
    struct tni_row *found = TN_ARENA_ARRAY(&scan->arena, struct tni_row, scan->points_count);
    TN_TRY(tni_ktable_get(kt, &scan->pin->view, scan->points, scan->points_count, &scan->arena,
                          found, err));
    uint32_t count = 0;
    for (uint32_t i = 0; i < scan->points_count; i++)
        if (found[i].row.ptr)
            rows[count++] = (struct tni_row){.key = scan->points[i], .row = found[i].row};
    *ret_count = count;
    return TN_OK;
}

/* The range to scan next: one for the whole table, one per wanted key of a windowed table. */
static bool next_range(struct tn_table_scan *scan)
{
    if (!scan->has_points) {
        if (scan->scan)
            return false;
        return true;
    }
    if (scan->range_key == scan->points_count)
        return false;
    struct tn_str key = scan->points[scan->range_key++];
    tn_buf_reset(&scan->high);
    tn_buf_add_str(&scan->high, key);
    scan->range.low = key;
    scan->range.high = (struct tn_str){0};
    if (tni_keycode_successor(scan->high.ptr, &scan->high.len))
        scan->range.high = tn_buf_str(&scan->high);
    return true;
}

static enum tn_status scan_rows(struct tn_table_scan *scan, struct tni_row *rows,
                                uint32_t *ret_count, struct tn_err *err)
{
    bool is_held = scan->which != ALL_ROWS;
    struct tni_ktable *kt = is_held ? scan->holds[scan->table] : scan->tables[scan->table];
    for (;;) {
        if (!scan->scan) {
            if (!next_range(scan))
                break;
            TN_TRY(tni_scan_open(kt, &scan->pin->view, &scan->range, &scan->scan, err));
        }
        enum tn_status st = tni_scan_next(scan->scan, ROWS_MAX, &scan->arena, rows, ret_count, err);
        if (st != TN_END)
            return st == TN_OK && is_held ? held_rows(scan, rows, ret_count, err) : st;
        tni_scan_close(scan->scan);
        scan->scan = NULL;
        if (!scan->has_points)
            break;
    }
    scan->table++;
    scan->range_key = 0;
    *ret_count = 0;
    return TN_OK;
}

static enum tn_status rows_batch(struct tn_table_scan *scan, struct tni_ktable *kt,
                                 const struct tni_row *rows, uint32_t count,
                                 struct tn_batch **ret_batch, struct tn_err *err)
{
    struct tn_arena *arena = &scan->arena;
    struct tn_batch *batch = tn_batch_new(scan->store->schema, count, arena);
    uint32_t fields_count = scan->store->schema->fields_count;
    int64_t *starts = TN_ARENA_ARRAY(arena, int64_t, count);
    int64_t *ends = TN_ARENA_ARRAY(arena, int64_t, count);
    batch->rowtime_ms = TN_ARENA_ARRAY(arena, int64_t, count);
    TN_TRY(tni_ktable_rows_columns(kt, rows, count, scan->needed, arena, batch->columns,
                                   batch->columns + scan->keys_count, batch->rowtime_ms, starts,
                                   ends, err));
    if (scan->store->kind == TN_NODE_AGGREGATE && scan->store->window.kind != TN_WINDOW_NONE) {
        const struct tn_type *bigint = tn_type_of(TN_K_BIGINT);
        batch->columns[fields_count - 2] =
            (struct tn_column){.type = bigint, .rows_count = count, .values = starts};
        batch->columns[fields_count - 1] =
            (struct tn_column){.type = bigint, .rows_count = count, .values = ends};
    }
    *ret_batch = batch;
    return TN_OK;
}

static bool key_is(const struct tn_table_scan *scan, const struct tn_batch *batch, uint32_t row,
                   const struct tn_value *values, struct tn_arena *arena)
{
    for (uint32_t k = 0; k < scan->table_keys_count; k++) {
        struct tn_value cell = tn_column_value(&batch->columns[k], row, arena);
        struct tn_value want = as_key(&values[k], cell.type);
        if (cell.is_null || want.is_null || !want.type || tn_value_cmp(&cell, &want) != 0)
            return false;
    }
    return true;
}

static bool in_range(const struct tn_key_filter *filter, const struct tn_value *cell)
{
    if (!filter->low && !filter->high)
        return true;
    if (cell->is_null)
        return false;
    if (filter->low) {
        struct tn_value low = as_key(filter->low, cell->type);
        int c = low.type ? tn_value_cmp(cell, &low) : 1;
        if (c < 0 || (c == 0 && filter->is_low_strict))
            return false;
    }
    if (filter->high) {
        struct tn_value high = as_key(filter->high, cell->type);
        int c = high.type ? tn_value_cmp(cell, &high) : -1;
        if (c > 0 || (c == 0 && filter->is_high_strict))
            return false;
    }
    return true;
}

static bool row_passes(struct tn_table_scan *scan, const struct tn_batch *batch, uint32_t row)
{
    const struct tn_key_filter *filter = scan->filter;
    if (filter->keys_count == 0) {
        struct tn_value cell = tn_column_value(&batch->columns[0], row, &scan->arena);
        return in_range(filter, &cell);
    }
    for (uint32_t i = 0; i < filter->keys_count; i++)
        if (key_is(scan, batch, row, filter->keys[i], &scan->arena))
            return true;
    return false;
}

/* Exact look-ups need no second check; the other ways do. */
static struct tn_batch *check_rows(struct tn_table_scan *scan, struct tn_batch *batch)
{
    const struct tn_key_filter *filter = scan->filter;
    if (!filter || scan->has_points || (!filter->keys_count && !filter->low && !filter->high))
        return batch;
    uint32_t *rows = tn_arena_alloc(&scan->arena, batch->rows_count * sizeof *rows), count = 0;
    for (uint32_t i = 0; i < batch->rows_count; i++)
        if (row_passes(scan, batch, i))
            rows[count++] = i;
    return count == batch->rows_count ? batch : tn_batch_gather(batch, rows, count, &scan->arena);
}

static enum tn_status run_chain(struct tn_table_scan *scan, struct tn_batch **batch,
                                struct tn_err *err)
{
    for (uint32_t i = 0; i < scan->chain_count && (*batch)->rows_count; i++) {
        const struct tn_node *node = scan->chain[i];
        if (node->kind == TN_NODE_FILTER)
            TN_TRY(tni_filter_run(node, *batch, NULL, &scan->arena, NULL, batch, err));
        else
            TN_TRY(tni_project_run(node, *batch, scan->wanted ? scan->wanted[i] : NULL,
                                   &scan->arena, NULL, batch, err));
    }
    return TN_OK;
}

enum tn_status tn_table_scan_next(struct tn_table_scan *scan, struct tn_batch **ret_batch,
                                  struct tn_err *err)
{
    bool is_windowed =
        scan->store->kind == TN_NODE_AGGREGATE && scan->store->window.kind != TN_WINDOW_NONE;
    while (scan->table < scan->tables_count) {
        tn_arena_reset(&scan->arena);
        struct tni_ktable *kt = scan->tables[scan->table];
        bool is_lookup = scan->has_points && !is_windowed;
        uint32_t room = is_lookup ? scan->points_count : ROWS_MAX, count = 0;
        struct tni_row *rows = tn_arena_alloc(&scan->arena, room * sizeof *rows);
        TN_TRY(is_lookup ? get_points(scan, rows, &count, err)
                         : scan_rows(scan, rows, &count, err));
        if (count == 0)
            continue;
        struct tn_batch *batch = NULL;
        TN_TRY(rows_batch(scan, kt, rows, count, &batch, err));
        TN_TRY(run_chain(scan, &batch, err));
        if (batch->rows_count)
            batch = check_rows(scan, batch);
        if (batch->rows_count == 0)
            continue;
        batch->schema = scan->schema;
        *ret_batch = batch;
        return TN_OK;
    }
    return TN_END;
}

int64_t tn_engine_table_rows(struct tn_engine *engine, const char *query_id)
{
    int64_t rows = 0;
    pthread_mutex_lock(&engine->lock);
    struct tni_query *query = tni_engine_find(engine, query_id);
    const struct tn_stage *stage = query ? last_stage(query->plan) : NULL;
    for (uint32_t t = 0; query && t < query->tasks_count; t++) {
        struct tni_task *task = &query->tasks[t];
        if (task->is_global || task->stage != stage)
            continue;
        for (uint32_t i = task->ops_count; i--;) {
            struct tni_ktable_stats stats;
            if (!task->ops[i].kt || task->ops[i].node->kind == TN_NODE_HOLD)
                continue;
            tni_ktable_stats(task->ops[i].kt, &stats);
            rows += stats.keys_total;
            break;
        }
    }
    pthread_mutex_unlock(&engine->lock);
    return rows;
}

int32_t tn_engine_table_partitions(struct tn_engine *engine, const char *query_id)
{
    pthread_mutex_lock(&engine->lock);
    struct tni_query *query = tni_engine_find(engine, query_id);
    int32_t count = query ? last_stage(query->plan)->partitions_count : 0;
    pthread_mutex_unlock(&engine->lock);
    return count;
}
