/* DESCRIBE INPUT and DESCRIBE OUTPUT of prepared statements.
 *
 * The statement is bound with every parameter as a NULL without a type; the first type a parameter
 * is coerced to is the one it wants, `unknown` when none is. @thread any */
#include "sql/admin_int.h"
#include "sql/bind.h"
#include "sql/parse.h"

struct describe {
    struct tni_admin *admin;
    struct tn_ast_stmt *stmt; /* the prepared one */
    struct tni_params params;
    struct tn_query *query; /* NULL when it is no query */
};

static enum tn_status bind_prepared(struct tni_admin *admin, struct describe *ret_describe,
                                    struct tn_err *err)
{
    const struct tn_ast_name *name = admin->stmt->show->name;
    struct tn_parse_opts opts = {.is_identifiers_ksql = admin->db->config.is_identifiers_ksql};
    struct tni_bind bind;
    struct tn_str text;
    *ret_describe = (struct describe){.admin = admin};
    TN_TRY(tni_prepared_text(admin->session, tn_ast_last(name).text, &text, err));
    TN_TRY(tn_parse_statement(text, &opts, admin->arena, &ret_describe->stmt, err));
    uint32_t count = ret_describe->stmt->params_count;
    struct tni_params *params = &ret_describe->params;
    params->count = count;
    params->nodes = TN_ARENA_ARRAY(admin->arena, const struct tn_expr *, count + 1);
    params->types = TN_ARENA_ARRAY(admin->arena, const struct tn_type *, count + 1);
    if (ret_describe->stmt->kind != TN_AS_QUERY)
        return TN_OK;
    tni_bind_init(&bind, admin->arena, TN_RULES_QUERY, admin->catalog, admin->session,
                  tn_wall_ms(admin->db->config.clock));
    bind.build.params = params;
    return tni_bind_query(&bind, ret_describe->stmt->query, &ret_describe->query, err);
}

static enum tn_status describe_input(struct tni_admin *admin, struct tn_err *err)
{
    static const struct tni_out_column columns[] = {{"Position", TN_K_INTEGER},
                                                    {"Type", TN_K_VARCHAR}};
    struct describe describe;
    struct tni_out out;
    TN_TRY(bind_prepared(admin, &describe, err));
    TN_TRY(tni_out_begin(&out, admin->rows, admin->arena, columns, 2, err));
    for (uint32_t i = 0; i < describe.params.count; i++) {
        const struct tn_type *type = describe.params.types[i];
        tni_out_i64(&out, i);
        tni_out_text(&out, type ? tni_type_print(admin->arena, type, true) : "unknown");
        TN_TRY(tni_out_row(&out, err));
    }
    return tni_out_end(&out, err);
}

/* The table whose column an output column is; NULL when it is computed. */
static const struct tn_object *origin(const struct tn_rel *rel, const struct tn_expr *expr)
{
    if (!rel || expr->kind != TN_E_COLUMN)
        return NULL;
    if (rel->kind == TN_REL_JOIN) {
        const struct tn_object *object = origin(rel->left, expr);
        return object ? object : origin(rel->right, expr);
    }
    return rel->kind == TN_REL_TABLE && rel->number == expr->rel ? rel->object : NULL;
}

/* Bytes of a value as Trino counts them; 0 = varies. */
static int type_size(const struct tn_type *type)
{
    switch (type->kind) {
    case TN_K_NULL:
    case TN_K_BOOLEAN: return 1;
    case TN_K_INTEGER:
    case TN_K_DATE:
    case TN_K_INTERVAL_YEAR: return 4;
    case TN_K_BIGINT:
    case TN_K_DOUBLE:
    case TN_K_TIME:
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ:
    case TN_K_INTERVAL_DAY: return 8;
    case TN_K_DECIMAL: return type->precision <= 18 ? 8 : 16;
    default: return 0;
    }
}

static bool is_aliased(const struct describe *describe, uint32_t column)
{
    const struct tn_ast_query *ast = describe->stmt->query;
    if (ast->kind != TN_AQ_SELECT ||
        ast->select->items_count != describe->query->schema->fields_count)
        return false;
    return ast->select->items[column].alias.text.ptr != NULL;
}

static enum tn_status describe_output(struct tni_admin *admin, struct tn_err *err)
{
    static const struct tni_out_column columns[] = {
        {"Column Name", TN_K_VARCHAR}, {"Catalog", TN_K_VARCHAR}, {"Schema", TN_K_VARCHAR},
        {"Table", TN_K_VARCHAR},       {"Type", TN_K_VARCHAR},    {"Type Size", TN_K_INTEGER},
        {"Aliased", TN_K_BOOLEAN}};
    struct describe describe;
    struct tni_out out;
    TN_TRY(bind_prepared(admin, &describe, err));
    TN_TRY(tni_out_begin(&out, admin->rows, admin->arena, columns, 7, err));
    const struct tn_query *query = describe.query;
    for (uint32_t i = 0; query && i < query->schema->fields_count; i++) {
        const struct tn_field *field = &query->schema->fields[i];
        const struct tn_object *object = NULL;
        if (query->select)
            object = origin(query->select->from, query->select->items[i].expr);
        tni_out_str(&out, field->name);
        tni_out_text(&out, object ? admin->session->catalog : "");
        tni_out_text(&out, object ? tni_lower_case(admin->arena, object->schema_name) : "");
        tni_out_text(&out, object ? tni_lower_case(admin->arena, object->name) : "");
        tni_out_text(&out, field->type->kind == TN_K_NULL
                               ? "unknown"
                               : tni_type_print(admin->arena, field->type, true));
        tni_out_i64(&out, type_size(field->type));
        tni_out_bool(&out, is_aliased(&describe, i));
        TN_TRY(tni_out_row(&out, err));
    }
    return tni_out_end(&out, err);
}

enum tn_status tni_admin_describe_prepared(struct tni_admin *admin, struct tn_err *err)
{
    return admin->stmt->show->what == TN_AH_INPUT ? describe_input(admin, err)
                                                  : describe_output(admin, err);
}
