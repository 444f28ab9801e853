/* What every scan needs, also in the SQLite extension: schema of a scan, charging. Contract:
 * sql/scan.h, sql/scan_int.h. */
#include "sql/scan_int.h"

enum tn_status tni_charge_to(struct tni_exec_ctx *ctx, int64_t bytes, int64_t *charged,
                             struct tn_err *err)
{
    int64_t delta = bytes - *charged;
    if (delta == 0)
        return TN_OK;
    *charged = bytes;
    return tn_budget_charge(ctx->budget, delta, err);
}

/* ---- schema ---- */

static const struct tn_type *headers_type(struct tn_arena *arena)
{
    const struct tn_field fields[] = {{TN_STR("KEY"), tn_type_of(TN_K_VARCHAR)},
                                      {TN_STR("VALUE"), tn_type_of(TN_K_BYTES)}};
    return tn_type_array(arena, tn_type_struct(arena, fields, 2));
}

const struct tn_schema *tni_tscan_schema(const struct tn_object *object, struct tn_arena *arena)
{
    static const struct tn_str names[TNI_TSCAN_PSEUDOS] = {
        [TN_PSEUDO_ROWTIME] = {"ROWTIME", 7},
        [TN_PSEUDO_ROWPARTITION] = {"ROWPARTITION", 12},
        [TN_PSEUDO_ROWOFFSET] = {"ROWOFFSET", 9},
        [TN_PSEUDO_WINDOWSTART] = {"WINDOWSTART", 11},
        [TN_PSEUDO_WINDOWEND] = {"WINDOWEND", 9},
        [TN_PSEUDO_HEADERS] = {"HEADERS", 7},
        [TN_PSEUDO_PATH] = {"$path", 5},
        [TN_PSEUDO_FILE_TIME] = {"$file_modified_time", 19},
        [TN_PSEUDO_FILE_SIZE] = {"$file_size", 10},
    };
    uint32_t count = object->schema->fields_count;
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, count + TNI_TSCAN_PSEUDOS);
    if (count)
        memcpy(fields, object->schema->fields, count * sizeof *fields);
    for (uint32_t i = 0; i < TNI_TSCAN_PSEUDOS; i++)
        fields[count + i] = (struct tn_field){names[i], tn_type_of(TN_K_BIGINT)};
    fields[count + TN_PSEUDO_ROWPARTITION].type = tn_type_of(TN_K_INTEGER);
    fields[count + TN_PSEUDO_PATH].type = tn_type_of(TN_K_VARCHAR);
    fields[count + TN_PSEUDO_FILE_TIME].type = tn_type_of(TN_K_TIMESTAMP_TZ);
    if (object->kind == TN_OBJ_STREAM)
        fields[count + TN_PSEUDO_HEADERS].type = headers_type(arena);
    struct tn_schema *schema = TN_ARENA_NEW(arena, struct tn_schema);
    *schema = (struct tn_schema){count + TNI_TSCAN_PSEUDOS, fields};
    return schema;
}
