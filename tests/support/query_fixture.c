/* See query_fixture.h. Tables are system objects of schema "default" whose fill gives the stored
 * rows. */
#include "tests/support/query_fixture.h"

#include "sql/bind.h"
#include "sql/parse.h"
#include "sql/writers.h"
#include "tests/check.h"
#include "tests/support/test_clock.h"

static enum tn_status fill_rows(struct tni_exec_ctx *ctx, const struct tn_system_table *system,
                                struct tni_fill *fill, struct tn_err *err)
{
    (void)ctx;
    (void)err;
    union {
        const struct tn_system_table *in;
        struct query_fixture_table *out;
    } cast = {.in = system};
    struct query_fixture_table *table = cast.out;
    uint32_t columns = system->schema->fields_count;
    table->fills_count++;
    for (uint32_t i = 0; i < table->rows_count; i++) {
        for (uint32_t k = 0; k < columns; k++)
            tni_fill_value(fill, &table->rows[(size_t)i * columns + k]);
        if (!tni_fill_row_done(fill))
            break;
    }
    return TN_OK;
}

void query_fixture_init(struct query_fixture *fx)
{
    struct tn_err err = TN_ERR_INIT;
    *fx = (struct query_fixture){.tables_count = 0};
    tn_arena_init(&fx->arena, 0);
    CHECK_OK(tni_sqlite_pool_open(2, &fx->pool, &err), &err);
}

void query_fixture_release(struct query_fixture *fx)
{
    tn_catalog_unref(fx->catalog);
    tni_zones_free(fx->zones);
    tn_object_stores_free(fx->stores);
    tni_sqlite_pool_close(fx->pool);
    tn_arena_release(&fx->arena);
}

static void bind_init(struct query_fixture *fx, struct tni_bind *bind, struct tn_arena *arena,
                      struct tn_session *session)
{
    *session = (struct tn_session){.catalog = "tarn", .schema = "default", .user = "test"};
    tni_bind_init(bind, arena, TN_RULES_QUERY, fx->catalog, session, 1700000000000);
}

static const struct tn_type *parse_type(struct query_fixture *fx, struct tn_str text)
{
    struct tni_bind bind;
    struct tn_session session;
    struct tn_ast_type *ast;
    const struct tn_type *type = tn_type_of(TN_K_NULL);
    struct tn_err err = TN_ERR_INIT;
    bind_init(fx, &bind, &fx->arena, &session);
    CHECK_OK(tn_parse_type(text, NULL, &fx->arena, &ast, &err), &err);
    CHECK_OK(tni_bind_type(&bind, ast, &type, &err), &err);
    return type;
}

/* One "name type" of the list; commas inside parentheses belong to the type. */
static const char *parse_column(struct query_fixture *fx, const char *at, struct tn_field *field)
{
    at += strspn(at, " ");
    size_t name_len = strcspn(at, " ");
    field->name = tn_arena_str(&fx->arena, (struct tn_str){at, name_len});
    at += name_len + 1;
    const char *end = at;
    for (int depth = 0; *end && (depth || *end != ','); end++)
        depth += (*end == '(') - (*end == ')');
    field->type = parse_type(fx, tn_arena_str(&fx->arena, (struct tn_str){at, (size_t)(end - at)}));
    return *end ? end + 1 : end;
}

struct query_fixture_table *query_fixture_table(struct query_fixture *fx, const char *name,
                                                const char *columns)
{
    TN_ASSERT(fx->tables_count < QUERY_FIXTURE_TABLES && !fx->catalog);
    struct query_fixture_table *table = &fx->tables[fx->tables_count++];
    struct tn_field *fields = TN_ARENA_ARRAY(&fx->arena, struct tn_field, 400);
    uint32_t count = 0;
    while (*columns)
        columns = parse_column(fx, columns, &fields[count++]);
    struct tn_schema *schema = TN_ARENA_NEW(&fx->arena, struct tn_schema);
    *schema = (struct tn_schema){count, fields};
    table->system = (struct tn_system_table){
        .schema_name = "default", .name = name, .schema = schema, .fill = fill_rows};
    table->object = (struct tn_object){.kind = TN_OBJ_SYSTEM,
                                       .schema_name = "default",
                                       .name = name,
                                       .schema = schema,
                                       .system = &table->system};
    return table;
}

void query_fixture_row(struct query_fixture *fx, struct query_fixture_table *table,
                       const struct tn_value *values)
{
    uint32_t columns = table->system.schema->fields_count;
    if (table->rows_count == table->rows_cap) {
        struct tn_value *old = table->rows;
        table->rows_cap = table->rows_cap ? table->rows_cap * 2 : 16;
        table->rows =
            TN_ARENA_ARRAY(&fx->arena, struct tn_value, (size_t)table->rows_cap * columns);
        if (old)
            memcpy(table->rows, old, (size_t)table->rows_count * columns * sizeof *old);
    }
    memcpy(table->rows + (size_t)table->rows_count * columns, values, columns * sizeof *values);
    table->rows_count++;
}

struct collect {
    struct tn_rows base; /* first */
    struct query_fixture *fx;
    struct query_fixture_table *table;
};

static enum tn_status collect_columns(struct tn_rows *base, const struct tn_schema *schema,
                                      struct tn_err *err)
{
    const struct collect *collect = (struct collect *)base;
    (void)err;
    CHECK_INT(schema->fields_count, collect->table->system.schema->fields_count);
    return TN_OK;
}

static enum tn_status collect_batch(struct tn_rows *base, const struct tn_batch *batch,
                                    struct tn_err *err)
{
    const struct collect *collect = (struct collect *)base;
    struct tn_value values[400];
    (void)err;
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        for (uint32_t k = 0; k < batch->schema->fields_count; k++) {
            values[k] = tn_column_value(&batch->columns[k], i, &collect->fx->arena);
            if (!values[k].is_null && tn_kind_is_varlen(values[k].type->kind))
                values[k].s = tn_arena_str(&collect->fx->arena, values[k].s);
        }
        query_fixture_row(collect->fx, collect->table, values);
    }
    return TN_OK;
}

static enum tn_status run_text(struct query_fixture *fx, struct tn_arena *arena, const char *sql,
                               struct tni_exec_ctx *ctx, struct tn_rows *rows, struct tn_buf *plan,
                               struct tn_err *err)
{
    struct tn_ast_stmt *stmt;
    struct tni_bind bind;
    struct tn_session session;
    struct tn_query *query;
    TN_TRY(tn_parse_statement(tn_str_of(sql), NULL, arena, &stmt, err));
    if (stmt->kind != TN_AS_QUERY)
        return tn_err_set(err, TN_E_INVALID, "not a query");
    bind_init(fx, &bind, arena, &session);
    TN_TRY(tni_bind_query(&bind, stmt->query, &query, err));
    return plan ? tni_exec_explain(ctx, query, plan, err) : tni_exec_query(ctx, query, rows, err);
}

void query_fixture_values(struct query_fixture *fx, struct query_fixture_table *table,
                          const char *values)
{
    struct collect collect = {{collect_columns, collect_batch}, fx, table};
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    struct tn_buf sql, type;
    tn_arena_init(&arena, 0);
    tn_buf_init(&sql, 1 << 20);
    tn_buf_init(&type, 1 << 16);
    const struct tn_schema *schema = table->system.schema;
    tn_buf_add_text(&sql, "SELECT ");
    for (uint32_t k = 0; k < schema->fields_count; k++) {
        tn_buf_reset(&type);
        tn_type_print_trino(schema->fields[k].type, &type);
        tn_buf_printf(&sql, "%sCAST(c%u AS %s)", k ? ", " : "", k, tn_buf_cstr(&type));
    }
    tn_buf_printf(&sql, " FROM (%s) AS x(", values);
    for (uint32_t k = 0; k < schema->fields_count; k++)
        tn_buf_printf(&sql, "%sc%u", k ? ", " : "", k);
    tn_buf_add_text(&sql, ")");
    struct tn_catalog *catalog = fx->catalog;
    if (!catalog)
        fx->catalog = tni_catalog_new(false, NULL, 0);
    struct tni_exec_ctx ctx = {.arena = &arena, .catalog = fx->catalog, .clock = &test_clock};
    CHECK_OK(run_text(fx, &arena, tn_buf_cstr(&sql), &ctx, &collect.base, NULL, &err), &err);
    if (!catalog) {
        tn_catalog_unref(fx->catalog);
        fx->catalog = NULL;
    }
    tn_buf_release(&sql);
    tn_buf_release(&type);
    tn_arena_release(&arena);
}

void query_fixture_open(struct query_fixture *fx)
{
    const struct tn_object *objects[QUERY_FIXTURE_TABLES + 64];
    size_t count, n = 0;
    const struct tn_object *const *system = tn_system_objects(&count);
    for (size_t i = 0; i < fx->tables_count; i++)
        objects[n++] = &fx->tables[i].object;
    for (size_t i = 0; i < count; i++)
        objects[n++] = system[i];
    fx->catalog = tni_catalog_new(false, objects, n);
}

/* ---- results ---- */

struct text_rows {
    struct tn_rows base; /* first */
    struct query_result *result;
};

static enum tn_status text_columns(struct tn_rows *base, const struct tn_schema *schema,
                                   struct tn_err *err)
{
    struct query_result *result = ((struct text_rows *)base)->result;
    (void)err;
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        tn_buf_add_text(&result->columns, i ? ", " : "");
        tn_buf_add_str(&result->columns, schema->fields[i].name);
        tn_buf_add_text(&result->columns, " ");
        tn_type_print_trino(schema->fields[i].type, &result->columns);
    }
    return TN_OK;
}

static enum tn_status text_batch(struct tn_rows *base, const struct tn_batch *batch,
                                 struct tn_err *err)
{
    struct query_result *result = ((struct text_rows *)base)->result;
    (void)err;
    CHECK(batch->rows_count > 0 && batch->rows_count <= TN_BATCH_ROWS_MAX);
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        for (uint32_t k = 0; k < batch->schema->fields_count; k++) {
            const struct tn_column *col = &batch->columns[k];
            if (!tn_type_eq(col->type, batch->schema->fields[k].type))
                tn_buf_add_text(&result->rows, "(other type)");
            tn_buf_add_text(&result->rows, k ? "|" : "");
            if (tn_column_is_null(col, i))
                tn_buf_add_text(&result->rows, "∅");
            else
                tn_cell_text(&result->rows, col, i);
        }
        tn_buf_add_text(&result->rows, "\n");
        result->rows_count++;
    }
    result->batches_count++;
    return TN_OK;
}

void query_result_init(struct query_result *result)
{
    *result = (struct query_result){.st = TN_OK};
    tn_buf_init(&result->columns, 1 << 20);
    tn_buf_init(&result->rows, (size_t)64 << 20);
}

void query_result_release(struct query_result *result)
{
    tn_buf_release(&result->columns);
    tn_buf_release(&result->rows);
}

static void run(struct query_fixture *fx, const char *sql, const struct query_run *run,
                struct tn_buf *plan, struct query_result *result)
{
    struct tn_arena arena;
    struct text_rows rows = {{text_columns, text_batch}, result};
    struct tn_budget budget = {.deadline_ns = run->deadline_ns,
                               .rows_max = run->rows_max,
                               .memory_bytes_max = run->memory_bytes_max,
                               .clock = &test_clock};
    tn_arena_init(&arena, 0);
    budget.is_cancelled = run->is_cancelled;
    tn_buf_reset(&result->columns);
    tn_buf_reset(&result->rows);
    result->rows_count = result->batches_count = 0;
    result->err = (struct tn_err)TN_ERR_INIT;
    struct tni_exec_ctx ctx = {.log = fx->log,
                               .catalog = fx->catalog,
                               .clock = &test_clock,
                               .formats = fx->formats,
                               .application_id = "test",
                               .pool = fx->pool,
                               .zones = fx->zones,
                               .budget = &budget,
                               .arena = &arena,
                               .executor = run->executor,
                               .is_pushdown_off = run->is_pushdown_off};
    result->st = run_text(fx, &arena, sql, &ctx, &rows.base, plan, &result->err);
    tni_exec_release(&ctx);
    result->memory_left = budget.memory_bytes;
    tn_arena_release(&arena);
}

void query_fixture_run(struct query_fixture *fx, const char *sql, const struct query_run *how,
                       struct query_result *result)
{
    run(fx, sql, how, NULL, result);
}

void query_fixture_explain(struct query_fixture *fx, const char *sql, const struct query_run *how,
                           struct tn_buf *buf, struct query_result *result)
{
    run(fx, sql, how, buf, result);
}
