/* Canonical text of queries and relations. Contract: ast.h; expressions: ast_print.c. */
#include "sql/ast_print_int.h"

/* ---- relations --------------------------------------------------------------------------- */

static void print_rel(const struct tn_ast_rel *rel, struct tn_buf *buf);

static void print_rel_tail(const struct tn_ast_rel *rel, struct tn_buf *buf)
{
    if (rel->alias.text.ptr) {
        tn_buf_add_text(buf, " AS ");
        tni_print_ident(&rel->alias, buf);
        if (rel->aliases_count)
            tni_print_idents(rel->aliases, rel->aliases_count, buf);
    }
    if (rel->sample.ptr) {
        tn_buf_printf(buf, " TABLESAMPLE %.*s (", TN_STR_FMT(rel->sample));
        tn_ast_print_expr(rel->sample_percent, buf);
        tn_buf_add_byte(buf, ')');
    }
}

static void print_within(const struct tn_ast_rel *rel, struct tn_buf *buf)
{
    const struct tn_ast_duration *before = &rel->within_before, *after = &rel->within_after;
    if (!before->is_given)
        return;
    tn_buf_add_text(buf, " WITHIN ");
    if (before->count == after->count && before->ms == after->ms) {
        tni_print_duration(before, buf);
    } else {
        tn_buf_add_byte(buf, '(');
        tni_print_duration(before, buf);
        tn_buf_add_text(buf, ", ");
        tni_print_duration(after, buf);
        tn_buf_add_byte(buf, ')');
    }
    if (rel->grace.is_given) {
        tn_buf_add_text(buf, " GRACE PERIOD ");
        tni_print_duration(&rel->grace, buf);
    }
}

static void print_join(const struct tn_ast_rel *rel, struct tn_buf *buf)
{
    static const char *const joins[] = {[TN_AJ_INNER] = "JOIN ",
                                        [TN_AJ_LEFT] = "LEFT JOIN ",
                                        [TN_AJ_RIGHT] = "RIGHT JOIN ",
                                        [TN_AJ_FULL] = "FULL JOIN ",
                                        [TN_AJ_CROSS] = "CROSS JOIN "};
    print_rel(rel->left, buf);
    if (rel->is_comma) {
        tn_buf_add_text(buf, ", ");
        print_rel(rel->right, buf);
        return;
    }
    tn_buf_add_text(buf, rel->is_natural ? " NATURAL " : " ");
    tn_buf_add_text(buf, joins[rel->join]);
    bool needs_paren = rel->right->kind == TN_AR_JOIN;
    tn_buf_add_text(buf, needs_paren ? "(" : "");
    print_rel(rel->right, buf);
    tn_buf_add_text(buf, needs_paren ? ")" : "");
    print_within(rel, buf);
    if (rel->using_count) {
        tn_buf_add_text(buf, " USING ");
        tni_print_idents(rel->using_names, rel->using_count, buf);
    } else if (rel->on) {
        tn_buf_add_text(buf, " ON ");
        tn_ast_print_expr(rel->on, buf);
    }
}

static void print_rel(const struct tn_ast_rel *rel, struct tn_buf *buf)
{
    switch (rel->kind) {
    case TN_AR_JOIN: print_join(rel, buf); return;
    case TN_AR_TABLE: tn_ast_print_name(rel->name, buf); break;
    case TN_AR_QUERY:
        tn_buf_add_text(buf, rel->is_lateral ? "LATERAL (" : "(");
        tn_ast_print_query(rel->query, buf);
        tn_buf_add_byte(buf, ')');
        break;
    case TN_AR_UNNEST:
    case TN_AR_FUNCTION:
        tn_buf_add_text(buf, rel->kind == TN_AR_UNNEST ? "UNNEST(" : "TABLE(");
        tni_print_exprs(rel->args, rel->args_count, buf);
        tn_buf_add_text(buf, rel->has_ordinality ? ") WITH ORDINALITY" : ")");
        break;
    }
    print_rel_tail(rel, buf);
}

/* ---- SELECT ------------------------------------------------------------------------------ */

static void print_item(const struct tn_ast_item *item, struct tn_buf *buf)
{
    struct tn_ast_expr field;
    switch (item->kind) {
    case TN_AI_STAR: tn_buf_add_byte(buf, '*'); return;
    case TN_AI_EXPR: tn_ast_print_expr(item->expr, buf); break;
    case TN_AI_ARROW_STAR:
    case TN_AI_REL_STAR: /* as if the field were called * */
        if (item->kind == TN_AI_REL_STAR && item->expr->kind == TN_AX_NAME) {
            tn_ast_print_expr(item->expr, buf);
            tn_buf_add_text(buf, ".*");
        } else {
            field = (struct tn_ast_expr){.kind = item->kind == TN_AI_REL_STAR ? TN_AX_FIELD
                                                                              : TN_AX_ARROW,
                                         .args_count = 1,
                                         .args = (struct tn_ast_expr *[]){item->expr},
                                         .ident = {.text = TN_STR("*")}};
            tn_ast_print_expr(&field, buf);
        }
        if (item->aliases_count) {
            tn_buf_add_text(buf, " AS ");
            tni_print_idents(item->aliases, item->aliases_count, buf);
        }
        return;
    }
    if (item->alias.text.ptr) {
        tn_buf_add_text(buf, " AS ");
        tni_print_ident(&item->alias, buf);
    }
}

static void print_option(const char *word, const struct tn_ast_duration *duration,
                         struct tn_buf *buf)
{
    if (!duration->is_given)
        return;
    tn_buf_add_text(buf, word);
    tni_print_duration(duration, buf);
}

static void print_window(const struct tn_ast_window *window, struct tn_buf *buf)
{
    static const char *const words[] = {[TN_AW_NONE] = "",
                                        [TN_AW_TUMBLING] = " WINDOW TUMBLING (SIZE ",
                                        [TN_AW_HOPPING] = " WINDOW HOPPING (SIZE ",
                                        [TN_AW_SESSION] = " WINDOW SESSION ("};
    if (window->kind == TN_AW_NONE)
        return;
    print_option(words[window->kind], &window->size, buf);
    print_option(", ADVANCE BY ", &window->advance, buf);
    print_option(", RETENTION ", &window->retention, buf);
    print_option(", GRACE PERIOD ", &window->grace, buf);
    tn_buf_add_byte(buf, ')');
}

static void print_set(const struct tn_ast_group_set *set, struct tn_buf *buf)
{
    if (set->args_count == 1) {
        tni_print_exprs(set->args, 1, buf);
        return;
    }
    tn_buf_add_byte(buf, '(');
    tni_print_exprs(set->args, set->args_count, buf);
    tn_buf_add_byte(buf, ')');
}

static void print_groups(const struct tn_ast_select *select, struct tn_buf *buf)
{
    static const char *const words[] = {[TN_AG_EXPR] = "",
                                        [TN_AG_SET] = "",
                                        [TN_AG_ROLLUP] = "ROLLUP (",
                                        [TN_AG_CUBE] = "CUBE (",
                                        [TN_AG_SETS] = "GROUPING SETS ("};
    if (!select->is_grouped)
        return;
    tn_buf_add_text(buf, select->is_group_distinct ? " GROUP BY DISTINCT " : " GROUP BY ");
    for (uint32_t i = 0; i < select->groups_count; i++) {
        const struct tn_ast_group *group = &select->groups[i];
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        tn_buf_add_text(buf, words[group->kind]);
        for (uint32_t k = 0; k < group->sets_count; k++) {
            tn_buf_add_text(buf, k == 0 ? "" : ", ");
            print_set(&group->sets[k], buf);
        }
        tn_buf_add_text(buf, words[group->kind][0] ? ")" : "");
    }
}

static void print_clause(const char *word, const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    if (!expr)
        return;
    tn_buf_add_text(buf, word);
    tn_ast_print_expr(expr, buf);
}

static void print_select(const struct tn_ast_select *select, struct tn_buf *buf)
{
    tn_buf_add_text(buf, select->is_distinct ? "SELECT DISTINCT " : "SELECT ");
    for (uint32_t i = 0; i < select->items_count; i++) {
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        print_item(&select->items[i], buf);
    }
    if (select->from) {
        tn_buf_add_text(buf, " FROM ");
        print_rel(select->from, buf);
    }
    print_window(&select->window, buf);
    print_clause(" WHERE ", select->where, buf);
    print_groups(select, buf);
    if (select->parts_count) {
        tn_buf_add_text(buf, " PARTITION BY ");
        tni_print_exprs(select->parts, select->parts_count, buf);
    }
    print_clause(" HAVING ", select->having, buf);
    for (uint32_t i = 0; i < select->windows_count; i++) {
        tn_buf_add_text(buf, i == 0 ? " WINDOW " : ", ");
        tni_print_ident(&select->windows[i].name, buf);
        tn_buf_add_text(buf, " AS ");
        tni_print_over(select->windows[i].over, buf);
    }
}

/* ---- queries ----------------------------------------------------------------------------- */

/* Has WITH, ORDER BY, EMIT or LIMIT of its own? */
static bool is_dressed(const struct tn_ast_query *query)
{
    return query->ctes_count || query->sorts_count || query->emit != TN_AE_NONE || query->limit ||
           query->offset;
}

static void print_operand(const struct tn_ast_query *query, bool needs_paren, struct tn_buf *buf)
{
    needs_paren |= is_dressed(query);
    tn_buf_add_text(buf, needs_paren ? "(" : "");
    tn_ast_print_query(query, buf);
    tn_buf_add_text(buf, needs_paren ? ")" : "");
}

static void print_set_op(const struct tn_ast_query *query, struct tn_buf *buf)
{
    static const char *const words[] = {[TN_ASET_UNION] = " UNION ",
                                        [TN_ASET_INTERSECT] = " INTERSECT ",
                                        [TN_ASET_EXCEPT] = " EXCEPT "};
    bool is_intersect = query->set == TN_ASET_INTERSECT;
    bool is_left_weaker =
        query->left->kind == TN_AQ_SET && is_intersect && query->left->set != TN_ASET_INTERSECT;
    bool is_right_set =
        query->right->kind == TN_AQ_SET && (is_intersect || query->right->set != TN_ASET_INTERSECT);
    print_operand(query->left, is_left_weaker, buf);
    tn_buf_add_text(buf, words[query->set]);
    tn_buf_add_text(buf, query->is_all ? "ALL " : "");
    print_operand(query->right, is_right_set, buf);
}

static void print_ctes(const struct tn_ast_query *query, struct tn_buf *buf)
{
    for (uint32_t i = 0; i < query->ctes_count; i++) {
        const struct tn_ast_cte *cte = &query->ctes[i];
        tn_buf_add_text(buf, i > 0 ? ", " : query->is_recursive ? "WITH RECURSIVE " : "WITH ");
        tni_print_ident(&cte->name, buf);
        if (cte->aliases_count) {
            tn_buf_add_byte(buf, ' ');
            tni_print_idents(cte->aliases, cte->aliases_count, buf);
        }
        tn_buf_add_text(buf, " AS (");
        tn_ast_print_query(cte->query, buf);
        tn_buf_add_byte(buf, ')');
    }
    tn_buf_add_text(buf, query->ctes_count ? " " : "");
}

static void print_tail(const struct tn_ast_query *query, struct tn_buf *buf)
{
    if (query->sorts_count) {
        tn_buf_add_text(buf, " ORDER BY ");
        tni_print_sorts(query->sorts, query->sorts_count, buf);
    }
    if (query->emit != TN_AE_NONE)
        tn_buf_add_text(buf, query->emit == TN_AE_CHANGES ? " EMIT CHANGES" : " EMIT FINAL");
    /* two parameters keep their order: their numbers depend on it */
    bool is_limit_first = query->limit && query->offset && query->limit->kind == TN_AX_PARAM &&
                          query->offset->kind == TN_AX_PARAM &&
                          query->limit->integer < query->offset->integer;
    if (!is_limit_first)
        print_clause(" OFFSET ", query->offset, buf);
    print_clause(query->is_with_ties ? " FETCH FIRST " : " LIMIT ", query->limit, buf);
    tn_buf_add_text(buf, query->is_with_ties ? " ROWS WITH TIES" : "");
    if (is_limit_first)
        print_clause(" OFFSET ", query->offset, buf);
}

static void print_rows(const struct tn_ast_query *query, struct tn_buf *buf)
{
    tn_buf_add_text(buf, "VALUES ");
    for (uint32_t i = 0; i < query->rows_count; i++) {
        const struct tn_ast_expr *row = query->rows[i];
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        if (row->kind == TN_AX_ROW && row->args_count > 1) {
            tn_buf_add_byte(buf, '(');
            tni_print_exprs(row->args, row->args_count, buf);
            tn_buf_add_byte(buf, ')');
        } else {
            tni_print_exprs(&query->rows[i], 1, buf);
        }
    }
}

void tn_ast_print_query(const struct tn_ast_query *query, struct tn_buf *buf)
{
    print_ctes(query, buf);
    switch (query->kind) {
    case TN_AQ_SELECT: print_select(query->select, buf); break;
    case TN_AQ_VALUES: print_rows(query, buf); break;
    case TN_AQ_TABLE:
        tn_buf_add_text(buf, "TABLE ");
        print_rel(query->rel, buf);
        break;
    case TN_AQ_SET: print_set_op(query, buf); break;
    case TN_AQ_NESTED:
        tn_buf_add_byte(buf, '(');
        tn_ast_print_query(query->left, buf);
        tn_buf_add_byte(buf, ')');
        break;
    }
    print_tail(query, buf);
}
