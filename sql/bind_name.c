/* Names: columns, pseudo columns, struct fields, lambda parameters, tables. Rules: sql/README.md
 * "Names".
 *
 * A dotted name a.b.c is tried as a qualified column from the longest qualifier to the shortest;
 * what is left over are fields of a STRUCT. Scopes are searched from the inside out; the first one
 * that knows the name wins.
 */
#include "sql/bind_int.h"

bool tni_name_eq(const struct tni_bind *bind, struct tn_str a, struct tn_str b)
{
    return bind->catalog ? tn_catalog_name_eq(bind->catalog, a, b) : tn_str_eq_nocase(a, b);
}

struct tni_col *tni_scope_add_col(const struct tni_bind *bind, struct tni_scope *scope)
{
    if (scope->cols_count == scope->cols_cap) {
        uint32_t cap = scope->cols_cap ? scope->cols_cap * 2 : 16;
        struct tni_col *cols = TN_ARENA_ARRAY(bind->build.arena, struct tni_col, cap);
        if (scope->cols_count)
            memcpy(cols, scope->cols, scope->cols_count * sizeof *cols);
        scope->cols = cols;
        scope->cols_cap = cap;
    }
    return &scope->cols[scope->cols_count++];
}

struct tni_scope_rel *tni_scope_add_rel(const struct tni_bind *bind, struct tni_scope *scope)
{
    if (scope->rels_count == scope->rels_cap) {
        uint32_t cap = scope->rels_cap ? scope->rels_cap * 2 : 4;
        struct tni_scope_rel *rels = TN_ARENA_ARRAY(bind->build.arena, struct tni_scope_rel, cap);
        if (scope->rels_count)
            memcpy(rels, scope->rels, scope->rels_count * sizeof *rels);
        scope->rels = rels;
        scope->rels_cap = cap;
    }
    return &scope->rels[scope->rels_count++];
}

struct tn_expr *tni_expr_copy_ref(const struct tni_bind *bind, const struct tn_expr *expr,
                                  struct tni_pos pos)
{
    struct tn_expr *copy = TN_ARENA_NEW(bind->build.arena, struct tn_expr);
    *copy = *expr;
    copy->line = pos.line;
    copy->col = pos.col;
    return copy;
}

/* ---- columns ---- */

struct found {
    const struct tni_col *col;
    uint32_t count;
    const struct tni_scope_rel *rel; /* pseudo column of it */
    enum tn_pseudo pseudo;
};

static bool is_catalog(const struct tni_bind *bind, struct tn_str name)
{
    (void)bind;
    return tn_catalog_is_name(name);
}

/* Do parts[0…count) name the relation? [[catalog.]schema.]alias */
static bool rel_matches(const struct tni_bind *bind, struct tn_str alias, struct tn_str schema_name,
                        const struct tn_ident *parts, uint32_t count)
{
    if (!alias.ptr || !tni_name_eq(bind, alias, parts[count - 1].text))
        return false;
    if (count == 1)
        return true;
    if (!schema_name.ptr || !tn_str_eq_nocase(schema_name, parts[count - 2].text))
        return false;
    return count == 2 || (count == 3 && is_catalog(bind, parts[0].text));
}

static bool pseudo_named(struct tn_str name, enum tn_pseudo *ret_pseudo)
{
    static const struct {
        const char *name;
        enum tn_pseudo pseudo;
    } names[] = {{"ROWTIME", TN_PSEUDO_ROWTIME},
                 {"ROWPARTITION", TN_PSEUDO_ROWPARTITION},
                 {"ROWOFFSET", TN_PSEUDO_ROWOFFSET},
                 {"$path", TN_PSEUDO_PATH},
                 {"$file_modified_time", TN_PSEUDO_FILE_TIME},
                 {"$file_size", TN_PSEUDO_FILE_SIZE}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (tn_str_eq_nocase(name, tn_str_of(names[i].name))) {
            *ret_pseudo = names[i].pseudo;
            return true;
        }
    return false;
}

static void find_col(const struct tni_bind *bind, const struct tni_scope *scope,
                     const struct tn_ident *parts, uint32_t qualifiers, struct found *out)
{
    struct tn_str name = parts[qualifiers].text;
    *out = (struct found){0};
    for (uint32_t i = 0; i < scope->cols_count; i++) {
        const struct tni_col *col = &scope->cols[i];
        if (!tni_name_eq(bind, col->name, name))
            continue;
        if (qualifiers ? !rel_matches(bind, col->rel_alias, col->rel_schema, parts, qualifiers)
                       : col->is_merged_away)
            continue;
        if (!out->count++)
            out->col = col;
    }
    if (out->count || !pseudo_named(name, &out->pseudo))
        return;
    for (uint32_t i = 0; i < scope->rels_count; i++) {
        const struct tni_scope_rel *rel = &scope->rels[i];
        bool is_offered = out->pseudo >= TN_PSEUDO_PATH ? rel->has_files : rel->has_pseudo;
        if (!is_offered ||
            (qualifiers && !rel_matches(bind, rel->alias, rel->schema_name, parts, qualifiers)))
            continue;
        if (!out->count++)
            out->rel = rel;
    }
}

static enum tn_status use_found(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                const struct found *found, struct tn_expr **ret_expr,
                                struct tn_err *err)
{
    if (found->count > 1)
        return tn_err_at(err, TN_E_NAME, "AMBIGUOUS_NAME", ast->line, ast->col,
                         "column '%.*s' is in more than one relation; name it with its table",
                         TN_STR_FMT(tn_ast_last(ast->name).text));
    if (found->rel) {
        *ret_expr =
            tni_pseudo(&ctx->bind->build, found->rel->number, found->pseudo, tni_pos_of(ast));
        return TN_OK;
    }
    if (found->col->needed)
        *found->col->needed = true;
    *ret_expr = tni_expr_copy_ref(ctx->bind, found->col->expr, tni_pos_of(ast));
    return TN_OK;
}

static enum tn_status bind_fields(struct tni_ctx *ctx, struct tn_expr *base,
                                  const struct tn_ast_name *name, uint32_t from,
                                  struct tn_expr **ret_expr, struct tn_err *err)
{
    for (uint32_t i = from; i < name->parts_count; i++)
        TN_TRY(tni_bind_field(ctx, base, &name->parts[i], &base, err));
    *ret_expr = base;
    return TN_OK;
}

enum tn_status tni_bind_field(struct tni_ctx *ctx, struct tn_expr *base,
                              const struct tn_ident *field, struct tn_expr **ret_expr,
                              struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    struct tni_pos pos = {field->line, field->col};
    int32_t index;
    const struct tn_func *func =
        base->type->kind == TN_K_STRUCT ? tn_func_deref(base->type, field->text, &index) : NULL;
    if (base->type->kind != TN_K_STRUCT)
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", pos.line, pos.col,
                         "field '%.*s' of %s: only a %s has fields", TN_STR_FMT(field->text),
                         tni_type_text(build, base->type),
                         build->rules == TN_RULES_QUERY ? "row" : "STRUCT");
    if (!func)
        return tn_err_at(err, TN_E_NAME, "COLUMN_NOT_FOUND", pos.line, pos.col,
                         "no field '%.*s' in %s", TN_STR_FMT(field->text),
                         tni_type_text(build, base->type));
    struct tn_expr *call = tni_node(build, TN_E_CALL, base->type->children[index].type, 2, pos);
    call->func = func;
    call->name = base->type->children[index].name;
    call->args[0] = base;
    call->args[1] = tni_const_i64(build, TN_K_INTEGER, index, pos);
    *ret_expr = tni_fold(build, call);
    return TN_OK;
}

/* ---- errors ---- */

static const char *nearest_column(const struct tni_ctx *ctx, struct tn_str name)
{
    const char *names[512];
    size_t count = 0;
    for (const struct tni_scope *scope = ctx->scope; scope; scope = scope->outer)
        for (uint32_t i = 0; i < scope->cols_count && count < 512; i++)
            names[count++] = tn_arena_str(ctx->bind->build.arena, scope->cols[i].name).ptr;
    return tn_str_nearest(name, names, count);
}

static enum tn_status not_found(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                struct tn_err *err)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 256);
    for (uint32_t i = 0; i < ast->name->parts_count; i++) {
        tn_buf_add_text(&buf, i ? "." : "");
        tn_buf_add_str(&buf, ast->name->parts[i].text);
    }
    const char *nearest = nearest_column(ctx, tn_ast_last(ast->name).text);
    tn_err_at(err, TN_E_NAME, "COLUMN_NOT_FOUND", ast->line, ast->col,
              "Column '%s' cannot be resolved%s%s", tn_buf_cstr(&buf), ctx->scope ? "" : " in ",
              ctx->scope ? "" : ctx->clause);
    tn_buf_release(&buf);
    if (nearest)
        tn_err_hint(err, "did you mean '%s'?", nearest);
    else if (!ast->name->parts[0].is_quoted)
        tn_err_hint(err, "text is written in single quotes");
    return TN_E_NAME;
}

/* ---- places a name is looked for ---- */

static bool lambda_param(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                         struct tn_expr **ret_expr)
{
    for (const struct tni_lambda *lambda = ctx->lambda; lambda; lambda = lambda->outer)
        for (uint32_t i = 0; i < lambda->count; i++)
            if (tni_name_eq(ctx->bind, lambda->names[i].text, ast->name->parts[0].text)) {
                *ret_expr = tni_column(&ctx->bind->build, TN_REL_LAMBDA, (int)(lambda->first + i),
                                       lambda->types[i], lambda->names[i].text, tni_pos_of(ast));
                return true;
            }
    return false;
}

static enum tn_status output_column(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                    bool *ret_found, struct tn_expr **ret_expr, struct tn_err *err)
{
    *ret_found = false;
    if (!ctx->outputs || ast->name->parts_count != 1 || ctx->is_in_agg)
        return TN_OK;
    for (uint32_t i = 0; i < ctx->outputs_count; i++) {
        if (!tni_name_eq(ctx->bind, ctx->outputs[i].name, ast->name->parts[0].text))
            continue;
        if (*ret_found && !tn_expr_eq(*ret_expr, ctx->outputs[i].expr))
            return tn_err_at(err, TN_E_NAME, "AMBIGUOUS_NAME", ast->line, ast->col,
                             "column '%.*s' is in the SELECT list more than once",
                             TN_STR_FMT(ast->name->parts[0].text));
        *ret_found = true;
        *ret_expr = ctx->outputs[i].expr;
    }
    return TN_OK;
}

static bool window_bound(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                         struct tn_expr **ret_expr)
{
    if (!ctx->scope || !ctx->scope->window || ast->name->parts_count != 1)
        return false;
    bool is_start = tn_str_eq_nocase(ast->name->parts[0].text, TN_STR("WINDOWSTART"));
    if (!is_start && !tn_str_eq_nocase(ast->name->parts[0].text, TN_STR("WINDOWEND")))
        return false;
    *ret_expr = tni_pseudo(&ctx->bind->build, 0,
                           is_start ? TN_PSEUDO_WINDOWSTART : TN_PSEUDO_WINDOWEND, tni_pos_of(ast));
    return true;
}

/* Names that are functions without parentheses in Trino when nothing else has the name. */
static bool is_bare_function(const struct tn_ast_name *name)
{
    static const char *const names[] = {"current_date", "current_timestamp", "localtimestamp"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (name->parts_count == 1 && !name->parts[0].is_quoted &&
            tn_str_eq_nocase(name->parts[0].text, tn_str_of(names[i])))
            return true;
    return false;
}

enum tn_status tni_bind_name(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                             struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tn_ast_name *name = ast->name;
    struct tn_expr *base = NULL;
    bool is_output;
    if (lambda_param(ctx, ast, &base))
        return bind_fields(ctx, base, name, 1, ret_expr, err);
    TN_TRY(output_column(ctx, ast, &is_output, ret_expr, err));
    if (is_output)
        return TN_OK;
    if (window_bound(ctx, ast, ret_expr))
        return TN_OK;
    for (const struct tni_scope *scope = ctx->is_output_only ? NULL : ctx->scope; scope;
         scope = scope->outer) {
        uint32_t most = name->parts_count - 1 < 3 ? name->parts_count - 1 : 3;
        for (uint32_t qualifiers = most + 1; qualifiers-- > 0;) {
            struct found found;
            find_col(ctx->bind, scope, name->parts, qualifiers, &found);
            if (!found.count)
                continue;
            TN_TRY(use_found(ctx, ast, &found, &base, err));
            return bind_fields(ctx, base, name, qualifiers + 1, ret_expr, err);
        }
    }
    if (is_bare_function(name))
        return tni_bind_call(ctx, ast, ret_expr, err);
    return not_found(ctx, ast, err);
}

/* ---- tables ---- */

struct object_names {
    const char *names[512];
    size_t count;
    struct tn_str schema_name;
};

static bool collect_object(void *ctx, const struct tn_object *object)
{
    struct object_names *out = ctx;
    if (out->count < 512 && tn_str_eq_nocase(tn_str_of(object->schema_name), out->schema_name))
        out->names[out->count++] = object->name;
    return true;
}

static bool collect_schema(void *ctx, const char *name)
{
    struct object_names *out = ctx;
    if (out->count < 512)
        out->names[out->count++] = name;
    return true;
}

static enum tn_status schema_not_found(const struct tni_bind *bind, struct tn_str schema_name,
                                       const struct tn_ast_name *name, struct tn_err *err)
{
    struct object_names near = {.count = 0};
    tn_catalog_each_schema(bind->catalog, collect_schema, &near);
    const char *nearest = tn_str_nearest(schema_name, near.names, near.count);
    tn_err_at(err, TN_E_NAME, "SCHEMA_NOT_FOUND", name->line, name->col,
              "Schema '%.*s' does not exist", TN_STR_FMT(schema_name));
    if (nearest)
        tn_err_hint(err, "did you mean '%s'?", nearest);
    return TN_E_NAME;
}

enum tn_status tni_bind_schema(const struct tni_bind *bind, const struct tn_ast_name *name,
                               struct tn_str *ret_schema, struct tn_str *ret_name,
                               struct tn_err *err)
{
    uint32_t count = name->parts_count;
    const struct tn_ident *parts = name->parts;
    if (count > 3)
        return tn_err_at(err, TN_E_NAME, "SYNTAX_ERROR", name->line, name->col,
                         "a table name has at most three parts: catalog.schema.table");
    if (count == 3 && !is_catalog(bind, parts[0].text))
        return tn_err_at(err, TN_E_NAME, "CATALOG_NOT_FOUND", name->line, name->col,
                         "Catalog '%.*s' not found", TN_STR_FMT(parts[0].text));
    struct tn_str catalog = count == 3 ? parts[0].text : tn_str_of(bind->session_catalog);
    struct tn_str schema = count > 1 ? parts[count - 2].text : tn_str_of(bind->session_schema);
    *ret_name = parts[count - 1].text;
    *ret_schema = tn_catalog_schema(bind->catalog, catalog, schema);
    if (!ret_schema->ptr)
        return schema_not_found(bind, schema, name, err);
    return TN_OK;
}

enum tn_status tni_bind_object(const struct tni_bind *bind, const struct tn_ast_name *name,
                               const struct tn_object **ret_object, struct tn_err *err)
{
    struct tn_str schema_name, table;
    TN_TRY(tni_bind_schema(bind, name, &schema_name, &table, err));
    const struct tn_object *object = tn_catalog_find(bind->catalog, schema_name, table);
    if (object) {
        *ret_object = object;
        return TN_OK;
    }
    struct object_names near = {.schema_name = schema_name};
    tn_catalog_each(bind->catalog, collect_object, &near);
    const char *nearest = tn_str_nearest(table, near.names, near.count);
    struct tn_str catalog =
        name->parts_count == 3 ? name->parts[0].text : tn_str_of(bind->session_catalog);
    tn_err_at(err, TN_E_NAME, "TABLE_NOT_FOUND", name->line, name->col,
              "Table '%.*s.%.*s.%.*s' does not exist", TN_STR_FMT(catalog), TN_STR_FMT(schema_name),
              TN_STR_FMT(table));
    if (nearest)
        tn_err_hint(err, "did you mean '%s'?", nearest);
    return TN_E_NAME;
}
