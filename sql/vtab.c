/* Virtual tables: the slots of a generated statement (gen_sqlite.h) as SQLite sees them.
 *
 * HOW IT WORKS. A connection owns untyped tables v<slot>_<width>, made on first use and kept; what
 * one means is looked up in the running statement. Untyped columns have no affinity, so SQLite
 * converts nothing. Rows come from a native operator tree (scan with pushed-down predicates,
 * vectorised filter), batch by batch, in one of three ways:
 *
 *   stream   the first pass without equalities: batches as they come
 *   look-up  equalities on all key columns of a KTable: the engine is asked for those keys, a
 * bounded number of times store    everything else: the rows are copied once and kept for the
 * statement; equalities use a hash index over their columns, so a join costs one pass over each
 * side instead of one per outer row
 *
 * PLAN. idxNum is 1 when there are equalities, else 0. idxStr holds one item per argument of
 * xFilter, in order:
 *   '=' column ','   equality                 '@' column ','   IN, all values at once
 * (sqlite3_vtab_in)
 *   '<' 'l' '>' 'g' column ','   less, at most, greater, at least
 * All of them are applied exactly here, so omit is set. ORDER BY is not consumed, LIMIT and OFFSET
 * are not either: batches are pulled lazily, so they stop the scan by themselves. Which columns to
 * produce is known from the generated text, more exactly than colUsed says, so that is not read.
 *
 * Row numbers are stable for stored tables; a table under a RIGHT or FULL JOIN is always stored.
 *
 * Ownership: slot state belongs to the statement, cursors to SQLite. @thread the statement's */
#include "sql/vtab_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "stream/base/hash.h"
#include "stream/base/mem.h"

struct test {
    char op;         /* of idxStr */
    uint32_t column; /* kept */
    int slot_column;
    uint32_t values_count;
    struct tn_value *values; /* ascending for '@' */
};

enum mode { MODE_BATCHES, MODE_STORED, MODE_HASH };

struct cursor {
    sqlite3_vtab_cursor base; /* first */
    struct tni_vslot *vs;
    struct tn_arena arena; /* tests */
    enum mode mode;
    struct tni_op *op; /* BATCHES */
    struct tn_batch *batch;
    uint32_t row, chunk;
    int64_t rowid;
    bool is_end;
    uint32_t tests_count;
    struct test tests[TESTS_MAX];
    /* HASH: current combination of the equalities' values and the chain it led to */
    const struct tni_vindex *index;
    const struct test *equals[EQUALS_MAX]; /* by index column */
    uint32_t at[EQUALS_MAX];
    uint32_t entry;
    uint64_t hash;
};

static int fail(struct tni_vslot *vs, enum tn_status st, const struct tn_err *err)
{
    return tni_statement_fail(vs->stmt, st, err);
}

/* ---- tests ---- */

static int value_order(const void *a, const void *b)
{
    return tn_value_cmp(a, b);
}

/* An argument as a value comparable with the column; false: NULL or another kind, which equals
 * nothing. */
static bool read_argument(struct cursor *cur, sqlite3_value *in, const struct tn_type *type,
                          struct tn_value *ret_value)
{
    const struct tn_type *wide = type->kind == TN_K_INTEGER ? tn_type_of(TN_K_BIGINT) : type;
    if (!tni_sq_value(in, wide, &cur->arena, ret_value) || ret_value->is_null)
        return false;
    ret_value->type = type;
    if (tn_kind_is_varlen(type->kind))
        ret_value->s = tn_arena_str(&cur->arena, ret_value->s);
    return true;
}

/* The values of an IN, ascending. */
static int read_in(struct cursor *cur, sqlite3_value *list, const struct tn_type *type,
                   struct test *test)
{
    uint32_t cap = 0;
    sqlite3_value *item;
    int rc = sqlite3_vtab_in_first(list, &item);
    for (; rc == SQLITE_OK; rc = sqlite3_vtab_in_next(list, &item)) {
        if (test->values_count == cap) {
            struct tn_value *old = test->values;
            cap = cap ? cap * 2 : 16;
            test->values = TN_ARENA_ARRAY(&cur->arena, struct tn_value, cap);
            if (old)
                memcpy(test->values, old, test->values_count * sizeof *old);
        }
        if (read_argument(cur, item, type, &test->values[test->values_count]))
            test->values_count++;
    }
    if (test->values_count > 1)
        qsort(test->values, test->values_count, sizeof *test->values, value_order);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Reads the plan's arguments into tests. *ret_is_empty: some test can never hold. */
static int read_tests(struct cursor *cur, const char *plan, sqlite3_value **argv,
                      bool *ret_is_empty)
{
    const struct tni_vslot *vs = cur->vs;
    *ret_is_empty = false;
    cur->tests_count = 0;
    for (uint32_t i = 0; *plan; i++) {
        TN_ASSERT(i < TESTS_MAX);
        struct test *test = &cur->tests[cur->tests_count++];
        char *end;
        *test = (struct test){.op = *plan};
        test->slot_column = (int)strtol(plan + 1, &end, 10);
        plan = end + 1;
        test->column = (uint32_t)vs->kept_of[test->slot_column];
        const struct tn_type *type = vs->slot->schema->fields[test->slot_column].type;
        if (test->op == '@') {
            int rc = read_in(cur, argv[i], type, test);
            if (rc != SQLITE_OK)
                return rc;
        } else {
            test->values = TN_ARENA_NEW(&cur->arena, struct tn_value);
            test->values_count = read_argument(cur, argv[i], type, test->values);
        }
        if (test->values_count == 0)
            *ret_is_empty = true;
    }
    return SQLITE_OK;
}

static bool test_holds(const struct test *test, const struct tn_column *col, uint32_t row)
{
    if (tn_column_is_null(col, row))
        return false;
    struct tn_value value = tn_column_value(col, row, NULL);
    if (test->op == '@')
        return bsearch(&value, test->values, test->values_count, sizeof value, value_order);
    int order = tn_value_cmp(&value, test->values);
    switch (test->op) {
    case '=': return order == 0;
    case '<': return order < 0;
    case 'l': return order <= 0;
    case '>': return order > 0;
    default: return order >= 0;
    }
}

static bool row_holds(const struct cursor *cur)
{
    for (uint32_t i = 0; i < cur->tests_count; i++) {
        const struct test *test = &cur->tests[i];
        if (!test_holds(test, &cur->batch->columns[test->column], cur->row))
            return false;
    }
    return true;
}

/* ---- cursors ---- */

static void cursor_clear(struct cursor *cur)
{
    tni_op_close(cur->op);
    cur->op = NULL;
    cur->batch = NULL;
    cur->is_end = false;
    tn_arena_reset(&cur->arena);
}

/* The next row of the current mode, tested or not; false at the end. */
static enum tn_status step_batches(struct cursor *cur, struct tn_err *err)
{
    cur->rowid++;
    if (cur->batch && ++cur->row < cur->batch->rows_count)
        return TN_OK;
    cur->row = 0;
    return tni_op_next(cur->op, &cur->batch, err);
}

static enum tn_status step_stored(struct cursor *cur)
{
    struct tni_vslot *vs = cur->vs;
    if (cur->batch && ++cur->row < cur->batch->rows_count) {
        cur->rowid++;
        return TN_OK;
    }
    uint32_t chunk = cur->batch ? cur->chunk + 1 : 0;
    if (chunk >= vs->chunks_count)
        return TN_END;
    cur->chunk = chunk;
    cur->batch = vs->chunks[chunk];
    cur->row = 0;
    cur->rowid = (int64_t)chunk << CHUNK_SHIFT;
    return TN_OK;
}

static void enter_chain(struct cursor *cur)
{
    uint64_t hash = 1;
    for (uint32_t i = 0; i < cur->index->columns_count; i++)
        hash = tni_vslot_hash(&cur->equals[i]->values[cur->at[i]], hash);
    cur->hash = hash;
    cur->entry = cur->index->heads[hash & cur->index->mask];
}

/* Next combination of the equalities' values; false after the last. */
static bool next_combination(struct cursor *cur)
{
    for (uint32_t i = cur->index->columns_count; i-- > 0;) {
        if (++cur->at[i] < cur->equals[i]->values_count)
            return true;
        cur->at[i] = 0;
    }
    return false;
}

static bool is_combination(const struct cursor *cur, const struct tn_batch *batch, uint32_t row)
{
    for (uint32_t i = 0; i < cur->index->columns_count; i++) {
        struct tn_value value = tn_column_value(&batch->columns[cur->index->columns[i]], row, NULL);
        if (tn_value_cmp(&value, &cur->equals[i]->values[cur->at[i]]) != 0)
            return false;
    }
    return true;
}

static enum tn_status step_hash(struct cursor *cur)
{
    for (;;) {
        while (cur->entry == NO_ENTRY) {
            if (!next_combination(cur))
                return TN_END;
            enter_chain(cur);
        }
        const struct tni_ventry *entry = &cur->index->entries[cur->entry];
        cur->entry = entry->next;
        struct tn_batch *batch = cur->vs->chunks[entry->place >> CHUNK_SHIFT];
        uint32_t row = entry->place & (TN_BATCH_ROWS_MAX - 1);
        if (entry->hash != cur->hash || !is_combination(cur, batch, row))
            continue;
        cur->batch = batch;
        cur->row = row;
        cur->rowid = entry->place;
        return TN_OK;
    }
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
    struct cursor *cur = (struct cursor *)base;
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st;
    do {
        switch (cur->mode) {
        case MODE_BATCHES: st = step_batches(cur, &err); break;
        case MODE_STORED: st = step_stored(cur); break;
        default: st = step_hash(cur); break;
        }
    } while (st == TN_OK && !row_holds(cur));
    cur->is_end = st != TN_OK;
    return tn_failed(st) ? fail(cur->vs, st, &err) : SQLITE_OK;
}

static const struct test *equality_of(const struct cursor *cur, int slot_column)
{
    for (uint32_t i = 0; i < cur->tests_count; i++)
        if (cur->tests[i].slot_column == slot_column &&
            (cur->tests[i].op == '=' || cur->tests[i].op == '@'))
            return &cur->tests[i];
    return NULL;
}

static bool can_look_up(const struct cursor *cur)
{
    const struct tni_vslot *vs = cur->vs;
    if (!vs->keys_count || vs->is_stored || vs->slot->is_stable || vs->lookups >= LOOKUPS_MAX)
        return false;
    for (uint32_t i = 0; i < vs->keys_count; i++) {
        const struct test *test = equality_of(cur, vs->key_columns[i]);
        if (!test || test->values_count > TNI_TSCAN_KEYS_MAX)
            return false;
    }
    return true;
}

static enum tn_status open_lookup(struct cursor *cur, struct tn_err *err)
{
    struct tni_vslot *vs = cur->vs;
    struct tni_pred *preds = TN_ARENA_ARRAY(vs->stmt->ctx->arena, struct tni_pred, vs->keys_count);
    for (uint32_t i = 0; i < vs->keys_count; i++) {
        const struct test *test = equality_of(cur, vs->key_columns[i]);
        preds[i] = (struct tni_pred){.column = vs->key_columns[i],
                                     .values_count = test->values_count,
                                     .values = test->values};
        if (test->values[0].type->kind == TN_K_INTEGER &&
            (test->values[0].i < INT32_MIN || test->values[test->values_count - 1].i > INT32_MAX))
            preds[i].values_count = 0; /* wider than the key: scanned, tested, nothing found */
    }
    vs->lookups++;
    cur->mode = MODE_BATCHES;
    return tni_vslot_source(vs, preds, vs->keys_count, &cur->op, err);
}

static enum tn_status open_hash(struct cursor *cur, bool *ret_is_open, struct tn_err *err)
{
    struct tni_vslot *vs = cur->vs;
    uint32_t columns[EQUALS_MAX], count = 0;
    for (uint32_t k = 0; k < vs->kept_count && count < EQUALS_MAX; k++) {
        for (uint32_t i = 0; i < cur->tests_count; i++) {
            const struct test *test = &cur->tests[i];
            if (test->column != k || (test->op != '=' && test->op != '@'))
                continue;
            cur->equals[count] = test;
            cur->at[count] = 0;
            columns[count++] = k;
            break;
        }
    }
    TN_TRY(tni_vslot_index(vs, columns, count, &cur->index, err));
    *ret_is_open = cur->index != NULL;
    if (cur->index) {
        cur->mode = MODE_HASH;
        enter_chain(cur);
    }
    return TN_OK;
}

static enum tn_status open_rows(struct cursor *cur, bool has_equals, struct tn_err *err)
{
    struct tni_vslot *vs = cur->vs;
    bool is_open = false;
    if (has_equals && can_look_up(cur))
        return open_lookup(cur, err);
    if (has_equals)
        TN_TRY(open_hash(cur, &is_open, err));
    if (is_open)
        return TN_OK;
    bool is_first = vs->passes++ == 0;
    if (is_first && !vs->slot->is_stable && !vs->is_stored) {
        cur->mode = MODE_BATCHES;
        return tni_vslot_source(vs, NULL, 0, &cur->op, err);
    }
    cur->mode = MODE_STORED;
    return tni_vslot_store(vs, err);
}

static int cursor_filter(sqlite3_vtab_cursor *base, int plan_num, const char *plan, int argc,
                         sqlite3_value **argv)
{
    struct cursor *cur = (struct cursor *)base;
    struct tn_err err = TN_ERR_INIT;
    bool is_empty;
    (void)argc;
    cursor_clear(cur);
    cur->rowid = -1;
    int rc = read_tests(cur, plan, argv, &is_empty);
    if (rc != SQLITE_OK)
        return rc;
    if (is_empty) {
        cur->is_end = true;
        return SQLITE_OK;
    }
    enum tn_status st = tn_budget_check(cur->vs->stmt->ctx->budget, &err);
    if (!tn_failed(st))
        st = open_rows(cur, plan_num != 0, &err);
    if (tn_failed(st))
        return fail(cur->vs, st, &err);
    return cursor_next(base);
}

static int cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret_cursor)
{
    struct cursor *cur = tn_alloc(sizeof *cur);
    cur->vs = tni_vtable_slot((struct tni_vtable *)base);
    tn_arena_init(&cur->arena, 0);
    *ret_cursor = &cur->base;
    return SQLITE_OK;
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
    struct cursor *cur = (struct cursor *)base;
    cursor_clear(cur);
    tn_arena_release(&cur->arena);
    tn_free(cur);
    return SQLITE_OK;
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
    return ((struct cursor *)base)->is_end;
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    const struct cursor *cur = (struct cursor *)base;
    int kept = cur->vs->kept_of[column];
    if (kept >= 0)
        tni_sq_result(context, &cur->batch->columns[kept], cur->row, cur->mode != MODE_BATCHES);
    return SQLITE_OK;
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
    *ret_rowid = ((struct cursor *)base)->rowid;
    return SQLITE_OK;
}

/* ---- tables ---- */

/* CREATE VIRTUAL TABLE v<slot>_<width> USING tarn(<slot>, <width>) */
static int table_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                         sqlite3_vtab **ret_table, char **ret_message)
{
    (void)ret_message;
    TN_ASSERT(argc == 5);
    int width = atoi(argv[4]);
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 16);
    for (int i = 0; i < width; i++)
        tn_buf_printf(&buf, "%sc%d", i ? "," : "CREATE TABLE x(", i);
    tn_buf_add_text(&buf, ")");
    int rc = sqlite3_declare_vtab(db, tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
    if (rc != SQLITE_OK)
        return rc;
    struct tni_vtable *table = tn_alloc(sizeof *table);
    table->conn = aux;
    table->slot = (uint32_t)atoi(argv[3]);
    *ret_table = &table->base;
    return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *base)
{
    tn_free(base);
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .iVersion = 1,
    .xCreate = table_connect,
    .xConnect = table_connect,
    .xBestIndex = tni_vtable_best_index,
    .xDisconnect = table_disconnect,
    .xDestroy = table_disconnect,
    .xOpen = cursor_open,
    .xClose = cursor_close,
    .xFilter = cursor_filter,
    .xNext = cursor_next,
    .xEof = cursor_eof,
    .xColumn = cursor_column,
    .xRowid = cursor_rowid,
};

int tni_vtab_register(struct tni_conn *conn)
{
    return sqlite3_create_module_v2(conn->db, "tarn", &module, conn, NULL);
}

static enum tn_status need_tables(struct tni_conn *conn, int width_class, int width, uint32_t count,
                                  struct tn_err *err)
{
    if (count > TNI_SQLITE_SLOTS_MAX)
        return tn_err_at(err, TN_E_LIMIT, "EXCEEDED_TABLES_LIMIT", 0, 0,
                         "query reads more than %d tables", TNI_SQLITE_SLOTS_MAX);
    conn->is_setup = true;
    int rc = SQLITE_OK;
    while (rc == SQLITE_OK && conn->tables_count[width_class] < count) {
        char sql[96];
        uint32_t slot = conn->tables_count[width_class];
        snprintf(sql, sizeof sql,
                 "CREATE VIRTUAL TABLE v%" PRIu32 "_%d USING tarn(%" PRIu32 ", %d)", slot, width,
                 slot, width);
        rc = sqlite3_exec(conn->db, sql, NULL, NULL, NULL);
        conn->tables_count[width_class] += rc == SQLITE_OK;
    }
    conn->is_setup = false;
    if (rc != SQLITE_OK)
        return tn_err_set(err, TN_E_INTERNAL, "cannot create a virtual table: %s",
                          sqlite3_errmsg(conn->db));
    return TN_OK;
}

/* ---- slots of a statement ---- */

static void prepare_keys(struct tni_vslot *vs, struct tn_arena *arena)
{
    const struct tn_object *object = vs->slot->object;
    bool has_store = object && (object->kind == TN_OBJ_KTABLE ||
                                (object->kind == TN_OBJ_TABLE && object->query_id));
    if (!has_store || vs->stmt->ctx->is_pushdown_off)
        return;
    uint32_t count = object->decl.keys_count;
    vs->key_columns = TN_ARENA_ARRAY(arena, int, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        int column = tn_schema_find(object->schema, object->decl.schema->fields[i].name);
        if (column < 0 || object->schema->fields[column].type->kind == TN_K_DOUBLE)
            return;
        vs->key_columns[i] = column;
    }
    vs->keys_count = count;
}

static void prepare_slot(struct tni_statement *stmt, uint32_t number)
{
    struct tn_arena *arena = stmt->ctx->arena;
    struct tni_vslot *vs = &stmt->slots[number];
    const struct tni_slot *slot = &stmt->gen.slots[number];
    uint32_t count = slot->schema->fields_count;
    vs->stmt = stmt;
    vs->slot = slot;
    tn_arena_init(&vs->arena, 0);
    vs->kept_of = TN_ARENA_ARRAY(arena, int, (size_t)count + 1);
    vs->exprs = TN_ARENA_ARRAY(arena, struct tn_expr *, (size_t)count + 1);
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        vs->kept_of[i] = -1;
        if (!slot->used[i])
            continue;
        fields[vs->kept_count] = slot->schema->fields[i];
        vs->exprs[vs->kept_count] = tni_expr_column(arena, i, slot->schema->fields[i].type, NULL);
        vs->kept_of[i] = (int)vs->kept_count++;
    }
    vs->kept = (struct tn_schema){vs->kept_count, fields};
    if (slot->object && !stmt->ctx->is_pushdown_off)
        tni_preds_of(slot->filter, 0, slot->object, arena, &vs->preds, &vs->preds_count);
    prepare_keys(vs, arena);
}

enum tn_status tni_vtab_prepare(struct tni_statement *stmt, struct tn_err *err)
{
    static const int widths[3] = {16, 64, 300};
    uint32_t counts[3] = {0};
    stmt->slots =
        TN_ARENA_ARRAY(stmt->ctx->arena, struct tni_vslot, (size_t)stmt->gen.slots_count + 1);
    for (uint32_t i = 0; i < stmt->gen.slots_count; i++) {
        prepare_slot(stmt, i);
        int width = tni_slot_width(&stmt->gen.slots[i]);
        for (int k = 0; k < 3; k++)
            if (widths[k] == width)
                counts[k] = i + 1;
    }
    for (int k = 0; k < 3; k++)
        TN_TRY(need_tables(stmt->conn, k, widths[k], counts[k], err));
    return TN_OK;
}

void tni_vtab_release(struct tni_statement *stmt)
{
    for (uint32_t i = 0; stmt->slots && i < stmt->gen.slots_count; i++) {
        struct tni_vslot *vs = &stmt->slots[i];
        if (!vs->stmt)
            continue;
        for (uint32_t k = 0; k < vs->indexes_count; k++) {
            tn_free(vs->indexes[k].heads);
            tn_free(vs->indexes[k].entries);
        }
        tn_free(vs->chunks);
        tn_arena_release(&vs->arena);
        (void)tn_budget_charge(stmt->ctx->budget, -vs->charged, NULL);
        vs->charged = 0;
    }
}

void tni_vtab_explain(struct tni_statement *stmt, struct tn_buf *buf)
{
    for (uint32_t i = 0; i < stmt->gen.slots_count; i++) {
        struct tni_vslot *vs = &stmt->slots[i];
        struct tni_op *op;
        struct tn_err ignored = TN_ERR_INIT;
        tn_buf_printf(buf, "v%" PRIu32 "_%d:\n", i, tni_slot_width(vs->slot));
        if (tn_failed(tni_vslot_source(vs, NULL, 0, &op, &ignored)))
            continue;
        tni_op_explain(op, 1, buf);
        tni_op_close(op);
    }
}
