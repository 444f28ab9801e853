/* FROM clauses under query rules: tables, views, WITH queries, derived tables, VALUES, joins.
 * Contract: sql/bind_int.h. Stream rules have their own, simpler FROM (bind_stream.c). */
#include "sql/bind_int.h"

#include "sql/parse.h"
#include "sql/zone.h"

struct tn_rel *tni_rel_new(struct tni_bind *bind, enum tn_rel_kind kind)
{
    struct tn_rel *rel = TN_ARENA_NEW(bind->build.arena, struct tn_rel);
    rel->kind = kind;
    rel->number = bind->rels_count++;
    rel->schema = TN_ARENA_NEW(bind->build.arena, struct tn_schema);
    return rel;
}

void tni_scope_add(const struct tni_bind *bind, struct tni_scope *scope, struct tn_rel *rel,
                   struct tn_str alias, struct tn_str schema_name)
{
    struct tni_scope_rel *entry = tni_scope_add_rel(bind, scope);
    *entry = (struct tni_scope_rel){.alias = alias,
                                    .schema_name = schema_name,
                                    .rel = rel,
                                    .number = rel->number,
                                    .cols_first = scope->cols_count,
                                    .cols_count = rel->schema->fields_count};
    entry->has_pseudo =
        rel->object && (rel->object->kind == TN_OBJ_STREAM || rel->object->kind == TN_OBJ_TABLE ||
                        rel->object->kind == TN_OBJ_KTABLE);
    entry->has_files = rel->object && rel->object->kind == TN_OBJ_ZONE;
    for (uint32_t i = 0; i < rel->schema->fields_count; i++) {
        const struct tn_field *field = &rel->schema->fields[i];
        struct tni_col *col = tni_scope_add_col(bind, scope);
        *col = (struct tni_col){.rel_alias = alias, .rel_schema = schema_name, .name = field->name};
        col->expr = tni_column(&bind->build, rel->number, (int)i, field->type, field->name,
                               (struct tni_pos){0, 0});
        col->needed = rel->needed ? &rel->needed[i] : NULL;
    }
}

/* ---- relations with names ---- */

static enum tn_status check_count(const struct tni_bind *bind, const struct tn_ast_rel *ast,
                                  struct tn_err *err)
{
    if (bind->rels_count < TNI_RELS_MAX)
        return TN_OK;
    return tn_err_at(err, TN_E_LIMIT, "STATEMENT_TOO_COMPLEX", ast->line, ast->col,
                     "the statement reads more than %d relations, with its views and WITH queries",
                     TNI_RELS_MAX);
}

/* AS t(a, b): the same columns under other names. */
static enum tn_status rename_columns(const struct tni_bind *bind, struct tn_rel *rel,
                                     const struct tn_ident *aliases, uint32_t count, int line,
                                     int col, struct tn_err *err)
{
    if (!count)
        return TN_OK;
    if (count != rel->schema->fields_count)
        return tn_err_at(err, TN_E_INVALID, "MISMATCHED_COLUMN_ALIASES", line, col,
                         "%u column names for %u columns", count, rel->schema->fields_count);
    struct tn_schema *schema = TN_ARENA_NEW(bind->build.arena, struct tn_schema);
    struct tn_field *fields = TN_ARENA_ARRAY(bind->build.arena, struct tn_field, count + 1);
    for (uint32_t i = 0; i < count; i++)
        fields[i] = (struct tn_field){aliases[i].text, rel->schema->fields[i].type};
    *schema = (struct tn_schema){count, fields};
    rel->schema = schema;
    return TN_OK;
}

static enum tn_status bind_view(struct tni_bind *bind, const struct tn_object *object,
                                const struct tn_ast_rel *ast, struct tn_query **ret_query,
                                struct tn_err *err)
{
    struct tni_view_frame frame = {bind->views, object};
    int depth = 0;
    for (const struct tni_view_frame *f = bind->views; f; f = f->outer, depth++)
        if (f->object == object || depth > 16)
            return tn_err_at(err, TN_E_INVALID, "VIEW_IS_RECURSIVE", ast->line, ast->col,
                             "view '%s' reads itself", object->name);
    struct tn_ast_stmt *stmt;
    struct tn_parse_opts opts = {.is_identifiers_ksql = tn_catalog_is_exact(bind->catalog)};
    TN_TRY(tn_parse_statement(tn_str_of(object->text), &opts, bind->build.arena, &stmt, err));
    TN_ASSERT(stmt->kind == TN_AS_QUERY);
    struct tni_bind inner = *bind;
    inner.views = &frame;
    inner.ctes = NULL;
    inner.session_schema = object->text_schema;
    enum tn_status st = tni_bind_query_in(&inner, stmt->query, NULL, ret_query, err);
    bind->rels_count = inner.rels_count;
    if (!tn_failed(st))
        return TN_OK;
    tn_err_prefix(err, "view '%s' line %d:%d", object->name, err ? err->line : 0,
                  err ? err->col : 0);
    if (err) {
        err->line = ast->line;
        err->col = ast->col;
    }
    return st;
}

/* Views that are made of other names: "table$latest" of a zone table that holds a changelog. */
static enum tn_status derived_object(const struct tni_bind *bind, const struct tn_ast_name *name,
                                     const struct tn_object **ret_object, struct tn_err *err)
{
    struct tn_str suffix = TN_STR("$latest"), last = tn_ast_last(name).text;
    if (last.len <= suffix.len ||
        !tn_str_eq_nocase((struct tn_str){last.ptr + last.len - suffix.len, suffix.len}, suffix))
        return tni_bind_object(bind, name, ret_object, err);
    struct tn_arena *arena = bind->build.arena;
    struct tn_ast_name base = *name;
    base.parts = TN_ARENA_ARRAY(arena, struct tn_ident, name->parts_count);
    memcpy(base.parts, name->parts, name->parts_count * sizeof *base.parts);
    base.parts[name->parts_count - 1].text.len -= suffix.len;
    const struct tn_object *table;
    TN_TRY(tni_bind_object(bind, &base, &table, err));
    if (table->kind != TN_OBJ_ZONE || !table->zone->keys_count)
        return tn_err_at(err, TN_E_NAME, "TABLE_NOT_FOUND", name->line, name->col,
                         "'%s' has no $latest: only the changelog of a sink has keys", table->name);
    struct tn_object *view = TN_ARENA_NEW(arena, struct tn_object);
    *view = (struct tn_object){.kind = TN_OBJ_VIEW,
                               .schema_name = table->schema_name,
                               .name = tn_arena_str(arena, last).ptr,
                               .schema = table->schema,
                               .text = tni_zone_latest_text(table, arena),
                               .text_schema = table->schema_name};
    *ret_object = view;
    return TN_OK;
}

static enum tn_status bind_object_rel(struct tni_bind *bind, const struct tn_ast_rel *ast,
                                      struct tn_rel **ret_rel, const struct tn_object **ret_object,
                                      struct tn_err *err)
{
    const struct tn_object *object;
    TN_TRY(derived_object(bind, ast->name, &object, err));
    if (object->kind == TN_OBJ_VIEW) {
        struct tn_query *query;
        TN_TRY(bind_view(bind, object, ast, &query, err));
        struct tn_rel *rel = tni_rel_new(bind, TN_REL_QUERY);
        rel->query = query;
        rel->schema = query->schema;
        *ret_rel = rel;
    } else {
        struct tn_rel *rel = tni_rel_new(bind, TN_REL_TABLE);
        rel->object = object;
        rel->schema = object->schema;
        rel->needed = TN_ARENA_ARRAY(bind->build.arena, bool, object->schema->fields_count + 1);
        *ret_rel = rel;
    }
    *ret_object = object;
    return TN_OK;
}

static const struct tni_cte *cte_find(const struct tni_bind *bind, const struct tn_ast_name *name)
{
    if (name->parts_count != 1)
        return NULL;
    for (const struct tni_cte *cte = bind->ctes; cte; cte = cte->outer)
        if (tni_name_eq(bind, cte->ast->name.text, name->parts[0].text))
            return cte;
    return NULL;
}

static enum tn_status bind_cte(struct tni_bind *bind, const struct tni_cte *cte,
                               struct tn_rel **ret_rel, struct tn_err *err)
{
    const struct tni_cte *saved = bind->ctes;
    struct tn_query *query;
    bind->ctes = cte->env;
    enum tn_status st = tni_bind_query_in(bind, cte->ast->query, NULL, &query, err);
    bind->ctes = saved;
    if (tn_failed(st))
        return st;
    struct tn_rel *rel = tni_rel_new(bind, TN_REL_QUERY);
    rel->query = query;
    rel->schema = query->schema;
    TN_TRY(rename_columns(bind, rel, cte->ast->aliases, cte->ast->aliases_count,
                          cte->ast->name.line, cte->ast->name.col, err));
    *ret_rel = rel;
    return TN_OK;
}

static enum tn_status bind_named(struct tni_bind *bind, const struct tn_ast_rel *ast,
                                 struct tni_scope *scope, struct tn_rel **ret_rel,
                                 struct tn_err *err)
{
    struct tn_rel *rel;
    struct tn_str alias = ast->alias.text, schema_name = {0};
    const struct tni_cte *cte = cte_find(bind, ast->name);
    if (cte) {
        TN_TRY(bind_cte(bind, cte, &rel, err));
        if (!alias.ptr)
            alias = cte->ast->name.text;
    } else {
        const struct tn_object *object;
        TN_TRY(bind_object_rel(bind, ast, &rel, &object, err));
        if (!alias.ptr) {
            alias = tn_str_of(object->name);
            schema_name = tn_str_of(object->schema_name);
        }
    }
    rel->alias = alias;
    TN_TRY(rename_columns(bind, rel, ast->aliases, ast->aliases_count, ast->line, ast->col, err));
    tni_scope_add(bind, scope, rel, alias, schema_name);
    *ret_rel = rel;
    return TN_OK;
}

static enum tn_status bind_derived(struct tni_bind *bind, const struct tn_ast_rel *ast,
                                   struct tni_scope *scope, struct tn_rel **ret_rel,
                                   struct tn_err *err)
{
    struct tn_query *query;
    if (ast->is_lateral)
        return tni_not_supported(err, ast->line, ast->col, "LATERAL is not supported");
    TN_TRY(tni_bind_query_in(bind, ast->query, NULL, &query, err));
    struct tn_rel *rel = tni_rel_new(bind, TN_REL_QUERY);
    rel->query = query;
    rel->schema = query->schema;
    rel->alias = ast->alias.text;
    TN_TRY(rename_columns(bind, rel, ast->aliases, ast->aliases_count, ast->line, ast->col, err));
    tni_scope_add(bind, scope, rel, ast->alias.text, (struct tn_str){0});
    *ret_rel = rel;
    return TN_OK;
}

/* ---- joins ---- */

static void scope_append(const struct tni_bind *bind, struct tni_scope *scope,
                         const struct tni_scope *from)
{
    for (uint32_t i = 0; i < from->rels_count; i++)
        *tni_scope_add_rel(bind, scope) = from->rels[i];
    for (uint32_t i = 0; i < from->cols_count; i++)
        *tni_scope_add_col(bind, scope) = from->cols[i];
}

/* The one column of `scope` with this name; −1 with an error when there is none or several. */
static int using_column(const struct tni_bind *bind, const struct tni_scope *scope,
                        const struct tn_ident *name, const char *side, struct tn_err *err)
{
    int found = -1;
    for (uint32_t i = 0; i < scope->cols_count; i++) {
        if (scope->cols[i].is_merged_away || !tni_name_eq(bind, scope->cols[i].name, name->text))
            continue;
        if (found >= 0) {
            tn_err_at(err, TN_E_NAME, "AMBIGUOUS_NAME", name->line, name->col,
                      "column '%.*s' of USING is more than once on the %s side",
                      TN_STR_FMT(name->text), side);
            return -1;
        }
        found = (int)i;
    }
    if (found < 0)
        tn_err_at(err, TN_E_NAME, "COLUMN_NOT_FOUND", name->line, name->col,
                  "column '%.*s' of USING is missing on the %s side", TN_STR_FMT(name->text), side);
    return found;
}

static void col_needed(struct tni_col *col)
{
    if (col->needed)
        *col->needed = true;
}

/* One column of USING: adds its condition to *on and the merged column to `merged`. */
static enum tn_status using_one(const struct tni_bind *bind, const struct tn_ident *name,
                                enum tn_rel_join join, struct tni_scope *left,
                                struct tni_scope *right, struct tni_scope *merged,
                                struct tn_expr **on, struct tn_err *err)
{
    struct tni_pos pos = {name->line, name->col};
    int l = using_column(bind, left, name, "left", err);
    int r = l < 0 ? -1 : using_column(bind, right, name, "right", err);
    if (l < 0 || r < 0)
        return TN_E_NAME;
    struct tni_col *lcol = &left->cols[l], *rcol = &right->cols[r];
    struct tn_expr *eq;
    TN_TRY(tni_compare(&bind->build, "=", tni_expr_copy_ref(bind, lcol->expr, pos),
                       tni_expr_copy_ref(bind, rcol->expr, pos), pos, &eq, err));
    *on = tni_logic(&bind->build, TN_E_AND, *on, eq);
    struct tn_expr *both[2] = {lcol->expr, rcol->expr};
    const struct tn_type *type;
    TN_TRY(tni_unify(&bind->build, both, 2, "columns of USING", &type, err));
    struct tni_col *col = tni_scope_add_col(bind, merged);
    *col = (struct tni_col){.name = lcol->name};
    if (join == TN_RJ_FULL) {
        col->expr = tni_node(&bind->build, TN_E_COALESCE, type, 2, pos);
        col->expr->args[0] = both[0];
        col->expr->args[1] = both[1];
        col->expr->name = lcol->name;
    } else {
        col->expr = join == TN_RJ_RIGHT ? both[1] : both[0];
    }
    col_needed(lcol);
    col_needed(rcol);
    lcol->is_merged_away = rcol->is_merged_away = true;
    return TN_OK;
}

/* Names both sides have, for NATURAL. */
static uint32_t natural_names(const struct tni_bind *bind, const struct tni_scope *left,
                              const struct tni_scope *right, const struct tn_ast_rel *ast,
                              struct tn_ident *names)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < left->cols_count; i++)
        for (uint32_t j = 0; j < right->cols_count; j++)
            if (!left->cols[i].is_merged_away && !right->cols[j].is_merged_away &&
                tni_name_eq(bind, left->cols[i].name, right->cols[j].name)) {
                names[count++] = (struct tn_ident){
                    .text = left->cols[i].name, .line = ast->line, .col = ast->col};
                break;
            }
    return count;
}

static const enum tn_rel_join join_kinds[] = {[TN_AJ_INNER] = TN_RJ_INNER,
                                              [TN_AJ_LEFT] = TN_RJ_LEFT,
                                              [TN_AJ_RIGHT] = TN_RJ_RIGHT,
                                              [TN_AJ_FULL] = TN_RJ_FULL,
                                              [TN_AJ_CROSS] = TN_RJ_CROSS};

static void join_schema(struct tni_bind *bind, struct tn_rel *rel)
{
    uint32_t left = rel->left->schema->fields_count, right = rel->right->schema->fields_count;
    struct tn_schema *schema = TN_ARENA_NEW(bind->build.arena, struct tn_schema);
    struct tn_field *fields = TN_ARENA_ARRAY(bind->build.arena, struct tn_field, left + right + 1);
    for (uint32_t i = 0; i < left; i++)
        fields[i] = rel->left->schema->fields[i];
    for (uint32_t i = 0; i < right; i++)
        fields[left + i] = rel->right->schema->fields[i];
    *schema = (struct tn_schema){left + right, fields};
    rel->schema = schema;
}

static enum tn_status join_using(struct tni_bind *bind, const struct tn_ast_rel *ast,
                                 struct tn_rel *rel, struct tni_scope *left,
                                 struct tni_scope *right, struct tni_scope *scope,
                                 struct tn_err *err)
{
    const struct tn_ident *names = ast->using_names;
    uint32_t count = ast->using_count;
    if (ast->is_natural) {
        struct tn_ident *natural =
            TN_ARENA_ARRAY(bind->build.arena, struct tn_ident, left->cols_count + 1);
        count = natural_names(bind, left, right, ast, natural);
        names = natural;
    }
    for (uint32_t i = 0; i < count; i++)
        TN_TRY(using_one(bind, &names[i], rel->join, left, right, scope, &rel->on, err));
    if (!count && rel->join == TN_RJ_INNER)
        rel->join = TN_RJ_CROSS;
    else if (!count && rel->join != TN_RJ_CROSS)
        rel->on = tni_const_bool(&bind->build, true, (struct tni_pos){ast->line, ast->col});
    return TN_OK;
}

static enum tn_status bind_join(struct tni_bind *bind, const struct tn_ast_rel *ast,
                                const struct tni_scope *outer, struct tni_scope *scope,
                                struct tn_rel **ret_rel, struct tn_err *err)
{
    struct tni_scope left = {.outer = outer}, right = {.outer = outer};
    struct tn_rel *left_rel, *right_rel;
    if (ast->within_before.is_given)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", ast->line, ast->col,
                         "WITHIN belongs to joins of streams in persistent queries");
    TN_TRY(tni_bind_from(bind, ast->left, outer, &left, &left_rel, err));
    TN_TRY(tni_bind_from(bind, ast->right, outer, &right, &right_rel, err));
    struct tn_rel *rel = tni_rel_new(bind, TN_REL_JOIN);
    rel->left = left_rel;
    rel->right = right_rel;
    rel->join = join_kinds[ast->join];
    join_schema(bind, rel);
    if (ast->using_count || ast->is_natural)
        TN_TRY(join_using(bind, ast, rel, &left, &right, scope, err));
    scope_append(bind, scope, &left);
    scope_append(bind, scope, &right);
    if (ast->on) {
        struct tni_ctx ctx = {.bind = bind, .scope = scope, .clause = "ON"};
        TN_TRY(tni_bind_expr(&ctx, ast->on, &rel->on, err));
        TN_TRY(tni_need_boolean(&bind->build, rel->on, "ON", &rel->on, err));
    }
    *ret_rel = rel;
    return TN_OK;
}

enum tn_status tni_bind_from(struct tni_bind *bind, const struct tn_ast_rel *ast,
                             const struct tni_scope *outer, struct tni_scope *scope,
                             struct tn_rel **ret_rel, struct tn_err *err)
{
    TN_TRY(check_count(bind, ast, err));
    if (ast->sample.ptr)
        return tni_not_supported(err, ast->line, ast->col, "TABLESAMPLE is not supported");
    switch (ast->kind) {
    case TN_AR_TABLE: return bind_named(bind, ast, scope, ret_rel, err);
    case TN_AR_QUERY: return bind_derived(bind, ast, scope, ret_rel, err);
    case TN_AR_JOIN: return bind_join(bind, ast, outer, scope, ret_rel, err);
    case TN_AR_UNNEST:
        return tni_not_supported(err, ast->line, ast->col, "UNNEST is not supported");
    case TN_AR_FUNCTION:
        return tni_not_supported(err, ast->line, ast->col, "a table function is not supported");
    }
    return TN_E_INTERNAL;
}
