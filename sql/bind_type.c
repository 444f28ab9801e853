/* Types as written → types. Names of both lineages are aliases of one type system; CREATE TYPE
 * names are resolved here, at use. */
#include "sql/bind_int.h"

static const struct {
    const char *name;
    enum tn_kind kind;
} plain_types[] = {
    {"BOOLEAN", TN_K_BOOLEAN},
    {"INT", TN_K_INTEGER},
    {"INTEGER", TN_K_INTEGER},
    {"BIGINT", TN_K_BIGINT},
    {"DOUBLE", TN_K_DOUBLE},
    {"STRING", TN_K_VARCHAR},
    {"VARCHAR", TN_K_VARCHAR},
    {"BYTES", TN_K_BYTES},
    {"VARBINARY", TN_K_BYTES},
    {"DATE", TN_K_DATE},
    {"TIME", TN_K_TIME},
    {"TIMESTAMP", TN_K_TIMESTAMP},
    {"JSON", TN_K_JSON},
    {"INTERVAL DAY TO SECOND", TN_K_INTERVAL_DAY},
    {"INTERVAL YEAR TO MONTH", TN_K_INTERVAL_YEAR},
};

static const struct {
    const char *name, *instead;
} refused_types[] = {
    {"TINYINT", "use INTEGER"}, {"SMALLINT", "use INTEGER"}, {"REAL", "use DOUBLE"},
    {"CHAR", "use VARCHAR"},    {"UUID", "use VARCHAR"},     {"IPADDRESS", "use VARCHAR"},
    {"HYPERLOGLOG", NULL},      {"QDIGEST", NULL},           {"UNKNOWN", NULL}};

static enum tn_status type_unknown(const struct tn_ast_type *ast, struct tn_err *err)
{
    for (size_t i = 0; i < sizeof refused_types / sizeof *refused_types; i++)
        if (tn_str_eq_nocase(ast->name.text, tn_str_of(refused_types[i].name))) {
            enum tn_status st = tni_not_supported(
                err, ast->line, ast->col, "type %s is not supported", refused_types[i].name);
            if (refused_types[i].instead)
                tn_err_hint(err, "%s", refused_types[i].instead);
            return st;
        }
    const char *names[sizeof plain_types / sizeof *plain_types + 4];
    size_t count = 0;
    for (size_t i = 0; i < sizeof plain_types / sizeof *plain_types; i++)
        names[count++] = plain_types[i].name;
    names[count++] = "DECIMAL";
    const char *nearest = tn_str_nearest(ast->name.text, names, count);
    tn_err_at(err, TN_E_TYPE, "TYPE_NOT_FOUND", ast->line, ast->col, "no type '%.*s'",
              TN_STR_FMT(ast->name.text));
    if (nearest)
        tn_err_hint(err, "did you mean %s?", nearest);
    return TN_E_TYPE;
}

static enum tn_status bind_decimal(const struct tni_bind *bind, const struct tn_ast_type *ast,
                                   const struct tn_type **ret_type, struct tn_err *err)
{
    int64_t precision = TN_DECIMAL_PRECISION_MAX, scale = 0;
    if (ast->numbers_count > 0)
        precision = ast->numbers[0];
    if (ast->numbers_count > 1)
        scale = ast->numbers[1];
    if (bind->build.rules == TN_RULES_STREAM && ast->numbers_count != 2)
        return tn_err_at(err, TN_E_TYPE, "INVALID_ARGUMENTS", ast->line, ast->col,
                         "DECIMAL needs precision and scale: DECIMAL(10, 2)");
    if (precision < 1 || precision > TN_DECIMAL_PRECISION_MAX || scale < 0 || scale > precision)
        return tn_err_at(err, TN_E_TYPE, "INVALID_ARGUMENTS", ast->line, ast->col,
                         "DECIMAL(%lld, %lld): precision is 1 to %d and scale 0 to precision",
                         (long long)precision, (long long)scale, TN_DECIMAL_PRECISION_MAX);
    *ret_type = tn_type_decimal(bind->build.arena, (int)precision, (int)scale);
    return TN_OK;
}

static enum tn_status plain_type(const struct tni_bind *bind, const struct tn_ast_type *ast,
                                 enum tn_kind kind, const struct tn_type **ret_type,
                                 struct tn_err *err)
{
    bool is_time = kind == TN_K_TIME || kind == TN_K_TIMESTAMP;
    if (ast->is_zoned) {
        if (kind == TN_K_TIME || bind->build.rules == TN_RULES_STREAM)
            return tni_not_supported(err, ast->line, ast->col,
                                     "type %.*s WITH TIME ZONE is not supported here",
                                     TN_STR_FMT(ast->name.text));
        kind = TN_K_TIMESTAMP_TZ;
    }
    if (!ast->numbers_count) {
        *ret_type = tn_type_of(kind);
        return TN_OK;
    }
    int64_t n = ast->numbers[0];
    if (kind == TN_K_VARCHAR && ast->numbers_count == 1 && n > 0 && n <= INT32_MAX) {
        *ret_type = tn_type_varchar(bind->build.arena,
                                    bind->build.rules == TN_RULES_QUERY ? (uint32_t)n : 0);
        return TN_OK;
    }
    if (is_time && ast->numbers_count == 1 && n >= 0 && n <= 12) {
        if (n > 6)
            return tni_not_supported(err, ast->line, ast->col,
                                     "%.*s(%lld) is not supported: times are kept to microseconds",
                                     TN_STR_FMT(ast->name.text), (long long)n);
        *ret_type = tn_type_time(bind->build.arena, kind, (int)n);
        return TN_OK;
    }
    return tn_err_at(err, TN_E_TYPE, "INVALID_ARGUMENTS", ast->line, ast->col,
                     "type %.*s does not take these numbers", TN_STR_FMT(ast->name.text));
}

static enum tn_status named_type(const struct tni_bind *bind, const struct tn_ast_type *ast,
                                 const struct tn_type **ret_type, struct tn_err *err)
{
    if (tn_str_eq_nocase(ast->name.text, TN_STR("DECIMAL")) ||
        tn_str_eq_nocase(ast->name.text, TN_STR("NUMERIC")))
        return bind_decimal(bind, ast, ret_type, err);
    for (size_t i = 0; i < sizeof plain_types / sizeof *plain_types; i++)
        if (tn_str_eq_nocase(ast->name.text, tn_str_of(plain_types[i].name)))
            return plain_type(bind, ast, plain_types[i].kind, ret_type, err);
    const struct tn_type *custom =
        bind->catalog ? tn_catalog_type(bind->catalog, ast->name.text) : NULL;
    if (!custom)
        return type_unknown(ast, err);
    *ret_type = custom;
    return TN_OK;
}

static enum tn_status struct_type(const struct tni_bind *bind, const struct tn_ast_type *ast,
                                  const struct tn_type **ret_type, struct tn_err *err)
{
    struct tn_field *fields =
        TN_ARENA_ARRAY(bind->build.arena, struct tn_field, ast->children_count + 1);
    for (uint32_t i = 0; i < ast->children_count; i++) {
        TN_TRY(tni_bind_type(bind, ast->children[i], &fields[i].type, err));
        fields[i].name = ast->names[i].text.ptr ? ast->names[i].text : TN_STR("");
        for (uint32_t j = 0; j < i; j++)
            if (fields[i].name.len && tni_name_eq(bind, fields[i].name, fields[j].name))
                return tn_err_at(err, TN_E_TYPE, "DUPLICATE_COLUMN_NAME", ast->names[i].line,
                                 ast->names[i].col, "field '%.*s' is declared twice",
                                 TN_STR_FMT(fields[i].name));
    }
    *ret_type = tn_type_struct(bind->build.arena, fields, ast->children_count);
    return TN_OK;
}

enum tn_status tni_bind_type(const struct tni_bind *bind, const struct tn_ast_type *ast,
                             const struct tn_type **ret_type, struct tn_err *err)
{
    const struct tn_type *a, *b;
    if (ast->height > TN_TYPE_DEPTH_MAX)
        return tn_err_at(err, TN_E_LIMIT, "TYPE_TOO_DEEP", ast->line, ast->col,
                         "type is nested %d levels deep, at most %d are allowed", ast->height,
                         TN_TYPE_DEPTH_MAX);
    switch (ast->kind) {
    case TN_AT_NAMED: return named_type(bind, ast, ret_type, err);
    case TN_AT_ARRAY:
        TN_TRY(tni_bind_type(bind, ast->children[0], &a, err));
        *ret_type = tn_type_array(bind->build.arena, a);
        return TN_OK;
    case TN_AT_MAP:
        TN_TRY(tni_bind_type(bind, ast->children[0], &a, err));
        TN_TRY(tni_bind_type(bind, ast->children[1], &b, err));
        *ret_type = tn_type_map(bind->build.arena, a, b);
        return TN_OK;
    case TN_AT_STRUCT: return struct_type(bind, ast, ret_type, err);
    }
    return TN_E_INTERNAL;
}
