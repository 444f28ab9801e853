/* EXPLAIN: the executor and its operators for a query, the plan and its topics for a persistent
 * one. */
#include "sql/admin_int.h"

static enum tn_status lines_out(struct tni_admin *admin, struct tn_str text, struct tn_err *err)
{
    static const struct tni_out_column columns[] = {{"Query Plan", TN_K_VARCHAR}};
    struct tni_out out;
    TN_TRY(tni_out_begin(&out, admin->rows, admin->arena, columns, 1, err));
    while (text.len && text.ptr[text.len - 1] == '\n')
        text.len--;
    tni_out_str(&out, tn_arena_str(admin->arena, text));
    TN_TRY(tni_out_row(&out, err));
    return tni_out_end(&out, err);
}

static enum tn_status valid_out(struct tni_admin *admin, struct tn_err *err)
{
    static const struct tni_out_column columns[] = {{"Valid", TN_K_BOOLEAN}};
    struct tni_out out;
    TN_TRY(tni_out_begin(&out, admin->rows, admin->arena, columns, 1, err));
    tni_out_bool(&out, true);
    TN_TRY(tni_out_row(&out, err));
    return tni_out_end(&out, err);
}

static void print_plan(const struct tn_plan *plan, const char *changelog_why, struct tn_buf *buf)
{
    tn_buf_add_text(buf, "executor: streaming\n");
    tn_plan_print(plan, buf);
    for (uint32_t i = 0; i < plan->stores_count; i++) {
        const struct tn_store_spec *store = &plan->stores[i];
        if (store->is_source)
            tn_buf_printf(buf, "store %s: rebuilt from its source topic %s\n", store->name,
                          store->changelog);
        else if (store->is_changelog_result)
            tn_buf_printf(buf, "store %s: changelog and result are one topic, %s\n", store->name,
                          store->changelog);
        else if (plan->stages[store->stage].nodes[store->node].kind == TN_NODE_HOLD)
            tn_buf_printf(buf, "store %s: changelog %s of what is held back\n", store->name,
                          store->changelog);
        else
            tn_buf_printf(buf, "store %s: changelog %s apart from the result: %s\n", store->name,
                          store->changelog, changelog_why ? changelog_why : "");
    }
}

static enum tn_status explain_query(struct tni_admin *admin, const struct tn_ast_query *ast,
                                    struct tn_buf *buf, struct tn_err *err)
{
    struct tni_bind bind;
    struct tn_query *query;
    struct tni_exec_ctx ctx;
    if (ast->emit != TN_AE_NONE) {
        tn_buf_add_text(buf, "executor: push\n");
        return TN_OK;
    }
    tni_bind_init(&bind, admin->arena, TN_RULES_QUERY, admin->catalog, admin->session,
                  tn_wall_ms(admin->db->config.clock));
    TN_TRY(tni_bind_query(&bind, ast, &query, err));
    tni_exec_init(admin->db, admin->catalog, admin->budget, admin->arena, &ctx);
    enum tn_status st = tni_exec_explain(&ctx, query, buf, err);
    tni_exec_release(&ctx);
    return st;
}

/* Plan the change, print it, forget it. */
static enum tn_status explain_change(struct tni_admin *admin, const struct tn_ast_stmt *stmt,
                                     struct tn_buf *buf, struct tn_err *err)
{
    struct tni_change change;
    TN_TRY(tni_change_begin(admin->db, admin->catalog, admin->session, admin->arena, stmt->text,
                            &change, err));
    enum tn_status st = tni_change_apply(&change, stmt, err);
    if (!tn_failed(st) && change.is_noop)
        tn_buf_add_text(buf, "nothing to do\n");
    for (size_t i = 0; !tn_failed(st) && i < change.effects_count; i++) {
        const struct tni_effect *effect = &change.effects[i];
        if (effect->kind != TNI_EFFECT_ADD && effect->kind != TNI_EFFECT_REPLACE)
            continue;
        const struct tn_catalog_query *query =
            tn_catalog_query(change.catalog, tn_str_of(effect->plan->query_id));
        print_plan(effect->plan, query ? query->changelog_why : NULL, buf);
    }
    if (!tn_failed(st) && !buf->len)
        tn_buf_printf(buf, "%s changes the catalog only\n", tn_ast_stmt_text(stmt->kind));
    tni_change_release(&change);
    return st;
}

static enum tn_status explain_id(struct tni_admin *admin, const struct tn_ident *id,
                                 struct tn_buf *buf, struct tn_err *err)
{
    const struct tn_catalog_query *query = tn_catalog_query(admin->catalog, id->text);
    if (!query)
        return tn_err_at(err, TN_E_NAME, "QUERY_NOT_FOUND", id->line, id->col, "no query '%.*s'",
                         TN_STR_FMT(id->text));
    print_plan(query->plan, query->changelog_why, buf);
    return TN_OK;
}

enum tn_status tni_admin_explain(struct tni_admin *admin, struct tn_err *err)
{
    const struct tn_ast_explain *ast = admin->stmt->explain;
    struct tn_buf buf;
    enum tn_status st;
    if (ast->is_analyze || ast->format == TN_AXF_GRAPHVIZ ||
        (ast->format == TN_AXF_JSON && ast->type != TN_AXT_IO))
        return tni_not_supported(err, admin->stmt->line, admin->stmt->col,
                                 "this form of EXPLAIN is not supported");
    tn_buf_init(&buf, 4u << 20);
    if (!ast->stmt)
        st = explain_id(admin, &ast->query_id, &buf, err);
    else if (ast->type == TN_AXT_IO && ast->stmt->kind == TN_AS_QUERY)
        st = tni_explain_io(admin, ast->stmt->query, &buf, err);
    else if (ast->type == TN_AXT_IO)
        st = tni_not_supported(err, ast->stmt->line, ast->stmt->col,
                               "EXPLAIN (TYPE IO) is for queries");
    else if (ast->stmt->kind == TN_AS_QUERY)
        st = explain_query(admin, ast->stmt->query, &buf, err);
    else if (tni_is_ddl(ast->stmt))
        st = explain_change(admin, ast->stmt, &buf, err);
    else
        st = tni_not_supported(err, ast->stmt->line, ast->stmt->col,
                               "EXPLAIN of %s is not supported", tn_ast_stmt_text(ast->stmt->kind));
    if (!tn_failed(st))
        st = ast->type == TN_AXT_VALIDATE ? valid_out(admin, err)
                                          : lines_out(admin, tn_buf_str(&buf), err);
    tn_buf_release(&buf);
    return st;
}
