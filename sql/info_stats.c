/* SHOW STATS and EXPLAIN (TYPE IO): what is known about the size of relations. tarn keeps no
 * statistics of columns; the number of rows of a table is the store's estimate. Unknown numbers are
 * NULL, or the text NaN in the document, as in Trino. @thread any */
#include <math.h>

#include "sql/admin_int.h"
#include "sql/bind.h"

struct rows_of {
    const char *query_id;
    double rows;
};

static bool rows_step(void *ctx, const struct tn_query_info *info)
{
    struct rows_of *of = ctx;
    if (strcmp(info->plan->query_id, of->query_id) != 0)
        return true;
    of->rows = (double)info->state_keys;
    return false;
}

/* NaN = not known. */
static double rows_of(struct tni_admin *admin, const struct tn_object *object)
{
    struct rows_of of = {object->query_id, NAN};
    bool is_table = object->kind == TN_OBJ_TABLE || object->kind == TN_OBJ_KTABLE;
    if (is_table && object->query_id && admin->db->config.engine)
        tn_engine_each_query(admin->db->config.engine, rows_step, &of);
    return of.rows;
}

static void nulls(struct tni_out *out, int count)
{
    for (int i = 0; i < count; i++)
        tni_out_text(out, NULL);
}

enum tn_status tni_admin_stats(struct tni_admin *admin, struct tn_err *err)
{
    static const struct tni_out_column columns[] = {{"column_name", TN_K_VARCHAR},
                                                    {"data_size", TN_K_DOUBLE},
                                                    {"distinct_values_count", TN_K_DOUBLE},
                                                    {"nulls_fraction", TN_K_DOUBLE},
                                                    {"row_count", TN_K_DOUBLE},
                                                    {"low_value", TN_K_VARCHAR},
                                                    {"high_value", TN_K_VARCHAR}};
    const struct tn_ast_show *show = admin->stmt->show;
    const struct tn_schema *schema;
    double rows = NAN;
    struct tni_bind bind;
    struct tni_out out;
    tni_bind_init(&bind, admin->arena, TN_RULES_QUERY, admin->catalog, admin->session,
                  tn_wall_ms(admin->db->config.clock));
    if (show->query) {
        struct tn_query *query;
        TN_TRY(tni_bind_query(&bind, show->query, &query, err));
        schema = query->schema;
    } else {
        const struct tn_object *object;
        TN_TRY(tni_bind_object(&bind, show->name, &object, err));
        schema = object->schema;
        rows = rows_of(admin, object);
    }
    TN_TRY(tni_out_begin(&out, admin->rows, admin->arena, columns, 7, err));
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        tni_out_text(&out, tni_lower_case(admin->arena,
                                          tn_arena_str(admin->arena, schema->fields[i].name).ptr));
        nulls(&out, 6);
        TN_TRY(tni_out_row(&out, err));
    }
    nulls(&out, 4);
    if (isnan(rows))
        nulls(&out, 1);
    else
        tni_out_double(&out, rows);
    nulls(&out, 2);
    TN_TRY(tni_out_row(&out, err));
    return tni_out_end(&out, err);
}

/* ---- EXPLAIN (TYPE IO, FORMAT JSON) ---- */

struct io {
    struct tni_admin *admin;
    struct tn_buf *buf;
    uint32_t count;
    double rows;
};

static void add_estimate(struct tn_buf *buf, double rows)
{
    tn_buf_add_text(buf, "{\n    \"outputRowCount\" : ");
    if (isnan(rows))
        tn_buf_add_text(buf, "\"NaN\"");
    else
        tn_buf_printf(buf, "%.1f", rows);
    tn_buf_add_text(buf, ",\n    \"outputSizeInBytes\" : \"NaN\",\n    \"cpuCost\" : \"NaN\",\n"
                         "    \"maxMemory\" : 0.0,\n    \"networkCost\" : 0.0\n  }");
}

static void io_table(void *ctx, const struct tn_object *object)
{
    struct io *io = ctx;
    double rows = rows_of(io->admin, object);
    tn_buf_add_text(io->buf, io->count++ ? ", {\n" : " {\n");
    tn_buf_add_text(io->buf, "    \"table\" : {\n      \"catalog\" : ");
    tn_buf_add_json(io->buf, tn_str_of(io->admin->session->catalog));
    tn_buf_add_text(io->buf, ",\n      \"schemaTable\" : {\n        \"schema\" : ");
    tn_buf_add_json(io->buf, tn_str_of(tni_lower_case(io->admin->arena, object->schema_name)));
    tn_buf_add_text(io->buf, ",\n        \"table\" : ");
    tn_buf_add_json(io->buf, tn_str_of(tni_lower_case(io->admin->arena, object->name)));
    tn_buf_add_text(io->buf, "\n      }\n    },\n    \"constraint\" : {\n      \"none\" : false,\n"
                             "      \"columnConstraints\" : [ ]\n    },\n    \"estimate\" : ");
    add_estimate(io->buf, rows);
    tn_buf_add_text(io->buf, "\n  }");
    io->rows = io->count == 1 ? rows : NAN;
}

enum tn_status tni_explain_io(struct tni_admin *admin, const struct tn_ast_query *ast,
                              struct tn_buf *buf, struct tn_err *err)
{
    struct tni_bind bind;
    struct tn_query *query;
    struct io io = {.admin = admin, .buf = buf, .rows = NAN};
    tni_bind_init(&bind, admin->arena, TN_RULES_QUERY, admin->catalog, admin->session,
                  tn_wall_ms(admin->db->config.clock));
    TN_TRY(tni_bind_query(&bind, ast, &query, err));
    tn_buf_add_text(buf, "{\n  \"inputTableColumnInfos\" : [");
    tni_query_objects(query, io_table, &io);
    tn_buf_add_text(buf, " ],\n  \"estimate\" : ");
    add_estimate(buf, io.rows);
    tn_buf_add_text(buf, "\n}");
    return TN_OK;
}
