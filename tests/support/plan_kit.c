/* Hand-built plans (plan_kit.h). */
#include "tests/support/plan_kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "connectors/formats.h"
#include "stream/func.h"

#define COLUMNS_MAX 32

static _Noreturn void give_up(const char *what, const char *detail)
{
    fprintf(stderr, "plan kit: %s: %s\n", what, detail);
    abort();
}

struct plan_kit kit_new(const char *query_id)
{
    struct plan_kit kit = {.plan = tn_plan_new()};
    kit.arena = &kit.plan->arena;
    snprintf(kit.plan->query_id, sizeof kit.plan->query_id, "%s", query_id);
    kit.plan->sink_name = kit.plan->query_id;
    kit.plan->statement = "test";
    kit.plan->stages = TN_ARENA_ARRAY(kit.arena, struct tn_stage, TN_STAGES_MAX);
    kit.plan->stores = TN_ARENA_ARRAY(kit.arena, struct tn_store_spec, KIT_NODES_MAX);
    return kit;
}

static const struct tn_type *type_of(struct tn_str name)
{
    static const struct {
        const char *name;
        enum tn_kind kind;
    } types[] = {{"INTEGER", TN_K_INTEGER},
                 {"BIGINT", TN_K_BIGINT},
                 {"DOUBLE", TN_K_DOUBLE},
                 {"VARCHAR", TN_K_VARCHAR},
                 {"BOOLEAN", TN_K_BOOLEAN}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (tn_str_eq(name, tn_str_of(types[i].name)))
            return tn_type_of(types[i].kind);
    give_up("no type", name.ptr);
}

const struct tn_schema *kit_schema(struct plan_kit *kit, const char *text)
{
    struct tn_field *fields = TN_ARENA_ARRAY(kit->arena, struct tn_field, COLUMNS_MAX);
    struct tn_schema *schema = TN_ARENA_NEW(kit->arena, struct tn_schema);
    while (*text) {
        size_t name_len = strcspn(text, " "), type_len = strcspn(text + name_len + 1, ",");
        struct tn_field *field = &fields[schema->fields_count++];
        field->name = tn_arena_str(kit->arena, (struct tn_str){text, name_len});
        field->type = type_of((struct tn_str){text + name_len + 1, type_len});
        text += name_len + 1 + type_len;
        text += strspn(text, ", ");
    }
    schema->fields = fields;
    return schema;
}

struct tn_topic_decl *kit_decl(struct plan_kit *kit, const char *topic, const char *columns,
                               uint32_t keys_count, const struct tn_format *key_format,
                               const struct tn_format *value_format, int32_t partitions_count)
{
    struct tn_topic_decl *decl = TN_ARENA_NEW(kit->arena, struct tn_topic_decl);
    *decl = (struct tn_topic_decl){.topic = tn_arena_strdup(kit->arena, topic),
                                   .schema = kit_schema(kit, columns),
                                   .keys_count = keys_count,
                                   .key_format = key_format,
                                   .value_format = value_format,
                                   .is_key_bare = keys_count == 1,
                                   .partitions_count = partitions_count,
                                   .timestamp_column = -1};
    decl->is_value_bare = value_format == &tn_format_kafka;
    return decl;
}

struct tn_expr *kit_at(struct plan_kit *kit, const struct tn_schema *schema, uint32_t column)
{
    struct tn_expr *expr = TN_ARENA_NEW(kit->arena, struct tn_expr);
    *expr = (struct tn_expr){.kind = TN_E_COLUMN,
                             .type = schema->fields[column].type,
                             .column = (int)column,
                             .name = schema->fields[column].name};
    return expr;
}

static uint32_t find_column(const struct tn_schema *schema, const char *name, size_t len)
{
    int at = tn_schema_find(schema, (struct tn_str){name, len});
    if (at < 0)
        give_up("no column", name);
    return (uint32_t)at;
}

struct tn_expr *kit_col(struct plan_kit *kit, int node, const char *name)
{
    const struct tn_schema *schema = kit->nodes[node].schema;
    return kit_at(kit, schema, find_column(schema, name, strlen(name)));
}

struct tn_expr *kit_int(struct plan_kit *kit, int64_t value)
{
    struct tn_expr *expr = TN_ARENA_NEW(kit->arena, struct tn_expr);
    const struct tn_type *type = tn_type_of(TN_K_BIGINT);
    *expr = (struct tn_expr){.kind = TN_E_CONST, .type = type, .value = {.type = type, .i = value}};
    return expr;
}

static struct tn_expr *cast_to(struct plan_kit *kit, struct tn_expr *arg,
                               const struct tn_type *type)
{
    const struct tn_func *func = NULL;
    struct tn_err err = TN_ERR_INIT;
    if (tn_type_eq(arg->type, type))
        return arg;
    if (tn_func_cast(arg->type, type, TN_RULES_STREAM, false, &func, &err) != TN_OK)
        give_up("no cast", err.message);
    struct tn_expr *expr = TN_ARENA_NEW(kit->arena, struct tn_expr);
    *expr = (struct tn_expr){.kind = TN_E_CALL, .type = type, .func = func, .args_count = 1};
    expr->args = TN_ARENA_ARRAY(kit->arena, struct tn_expr *, 1);
    expr->args[0] = arg;
    return expr;
}

struct tn_expr *kit_call(struct plan_kit *kit, const char *name, struct tn_expr *a,
                         struct tn_expr *b)
{
    struct tn_expr *args[2] = {a, b};
    const struct tn_type *given[2] = {a->type, b ? b->type : NULL}, *wanted[2], *type = NULL;
    uint32_t args_count = b ? 2 : 1;
    const struct tn_func *func = NULL;
    struct tn_err err = TN_ERR_INIT;
    if (tn_func_resolve(tn_str_of(name), TN_RULES_STREAM, given, args_count, kit->arena, &func,
                        wanted, &type, &err) != TN_OK)
        give_up(name, err.message);
    struct tn_expr *expr = TN_ARENA_NEW(kit->arena, struct tn_expr);
    *expr =
        (struct tn_expr){.kind = TN_E_CALL, .type = type, .func = func, .args_count = args_count};
    expr->args = TN_ARENA_ARRAY(kit->arena, struct tn_expr *, 2);
    for (uint32_t i = 0; i < args_count; i++)
        expr->args[i] = cast_to(kit, args[i], wanted[i]);
    return expr;
}

/* ---- nodes ---- */

static int add(struct plan_kit *kit, struct tn_node node)
{
    if (kit->nodes_count == KIT_NODES_MAX)
        give_up("too many nodes", kit->plan->query_id);
    kit->nodes[kit->nodes_count] = node;
    return (int)kit->nodes_count++;
}

int kit_source(struct plan_kit *kit, const struct tn_topic_decl *decl)
{
    return add(kit, (struct tn_node){.kind = TN_NODE_SOURCE,
                                     .input = -1,
                                     .schema = decl->schema,
                                     .is_table = decl->is_table,
                                     .decl = decl});
}

static struct tn_expr **copy_exprs(struct plan_kit *kit, struct tn_expr *const *exprs,
                                   uint32_t *ret_count)
{
    uint32_t count = 0;
    while (exprs[count])
        count++;
    struct tn_expr **copy = TN_ARENA_ARRAY(kit->arena, struct tn_expr *, count);
    memcpy(copy, exprs, count * sizeof *copy);
    *ret_count = count;
    return copy;
}

static int add_with_exprs(struct plan_kit *kit, struct tn_node node, struct tn_expr *const *exprs)
{
    node.exprs = copy_exprs(kit, exprs, &node.exprs_count);
    return add(kit, node);
}

int kit_filter(struct plan_kit *kit, int input, struct tn_expr *condition)
{
    struct tn_expr *exprs[] = {condition, NULL};
    return add_with_exprs(kit,
                          (struct tn_node){.kind = TN_NODE_FILTER,
                                           .input = input,
                                           .schema = kit->nodes[input].schema,
                                           .is_table = kit->nodes[input].is_table},
                          exprs);
}

int kit_project(struct plan_kit *kit, int input, const char *columns, struct tn_expr *const *exprs)
{
    return add_with_exprs(kit,
                          (struct tn_node){.kind = TN_NODE_PROJECT,
                                           .input = input,
                                           .schema = kit_schema(kit, columns),
                                           .is_table = kit->nodes[input].is_table},
                          exprs);
}

int kit_repartition(struct plan_kit *kit, int input, const struct tn_topic_decl *decl,
                    struct tn_expr *const *exprs)
{
    return add_with_exprs(
        kit, (struct tn_node){.kind = TN_NODE_REPARTITION, .input = input, .decl = decl}, exprs);
}

int kit_sink(struct plan_kit *kit, int input, const struct tn_topic_decl *decl)
{
    return add(kit, (struct tn_node){.kind = TN_NODE_SINK,
                                     .input = input,
                                     .is_table = kit->nodes[input].is_table,
                                     .decl = decl});
}

static int new_store(struct plan_kit *kit, const char *name)
{
    uint32_t number = kit->stores_count++;
    kit->plan->stores[number] = (struct tn_store_spec){
        .name = tn_arena_strdup(kit->arena, name),
        .id = number + 1,
        .stage = kit->plan->stages_count,
        .node = kit->nodes_count,
        .changelog = tn_arena_printf(kit->arena, "app-%s-%s-changelog", kit->plan->query_id, name)};
    return (int)number;
}

struct tn_store_spec *kit_store(struct plan_kit *kit)
{
    return &kit->plan->stores[kit->stores_count - 1];
}

int kit_materialize(struct plan_kit *kit, int input, const char *store)
{
    int number = new_store(kit, store);
    kit->plan->stores[number].is_source = true;
    kit->plan->stores[number].changelog = NULL;
    return add(kit, (struct tn_node){.kind = TN_NODE_MATERIALIZE,
                                     .input = input,
                                     .schema = kit->nodes[input].schema,
                                     .is_table = true,
                                     .store = number});
}

int kit_hold(struct plan_kit *kit, int input, int64_t interval_ms)
{
    char name[64];
    snprintf(name, sizeof name, "%s-held", kit_store(kit)->name);
    kit->plan->emit_interval_ms = interval_ms;
    return add(kit, (struct tn_node){.kind = TN_NODE_HOLD,
                                     .input = input,
                                     .schema = kit->nodes[input].schema,
                                     .is_table = true,
                                     .store = new_store(kit, name)});
}

int kit_join_global(struct plan_kit *kit, int input, int table, struct tn_expr *key)
{
    const struct tn_schema *left = kit->nodes[input].schema, *right = kit->nodes[table].schema;
    struct tn_schema *schema = TN_ARENA_NEW(kit->arena, struct tn_schema);
    struct tn_field *fields =
        TN_ARENA_ARRAY(kit->arena, struct tn_field, left->fields_count + right->fields_count);
    memcpy(fields, left->fields, left->fields_count * sizeof *fields);
    memcpy(fields + left->fields_count, right->fields, right->fields_count * sizeof *fields);
    *schema = (struct tn_schema){.fields_count = left->fields_count + right->fields_count,
                                 .fields = fields};
    struct tn_expr *exprs[] = {key, NULL};
    return add_with_exprs(kit,
                          (struct tn_node){.kind = TN_NODE_JOIN_TABLE,
                                           .input = input,
                                           .schema = schema,
                                           .store = kit->nodes[table].store,
                                           .join = TN_JOIN_INNER},
                          exprs);
}

struct calls {
    struct tn_agg_call *items;
    uint32_t (*args)[4];
    uint32_t count;
};

static void add_call(struct plan_kit *kit, const struct tn_schema *in, const char *text, size_t len,
                     struct calls *out)
{
    size_t name_len = strcspn(text, "(");
    struct tn_agg_call *call = &out->items[out->count];
    call->agg = tn_agg_find((struct tn_str){text, name_len}, TN_RULES_STREAM);
    if (!call->agg)
        give_up("no aggregate", text);
    call->rules = TN_RULES_STREAM;
    if (len > name_len + 2) {
        uint32_t column = find_column(in, text + name_len + 1, len - name_len - 2);
        out->args[out->count][0] = column;
        call->arg_types[call->args_count++] = in->fields[column].type;
    }
    struct tn_err err = TN_ERR_INIT;
    if (call->agg->bind(call, kit->arena, &err) != TN_OK)
        give_up(text, err.message);
    out->count++;
}

static uint32_t *find_keys(struct plan_kit *kit, const struct tn_schema *in, const char *keys,
                           uint32_t *ret_count)
{
    uint32_t *numbers = TN_ARENA_ARRAY(kit->arena, uint32_t, COLUMNS_MAX);
    *ret_count = 0;
    for (const char *p = keys; *p; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        numbers[(*ret_count)++] = find_column(in, p, len);
        p += len;
    }
    return numbers;
}

int kit_aggregate(struct plan_kit *kit, int input, const char *keys, const char *text,
                  const struct tn_window *window, const char *store)
{
    const struct tn_schema *in = kit->nodes[input].schema;
    struct tn_node node = {.kind = TN_NODE_AGGREGATE, .input = input, .is_table = true};
    struct calls calls = {.items = TN_ARENA_ARRAY(kit->arena, struct tn_agg_call, COLUMNS_MAX),
                          .args = tn_arena_zalloc(kit->arena, COLUMNS_MAX, sizeof(uint32_t[4]))};
    node.keys = find_keys(kit, in, keys, &node.keys_count);
    for (const char *p = text; *p; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        add_call(kit, in, p, len, &calls);
        p += len;
    }
    if (window)
        node.window = *window;
    struct tn_field *fields = TN_ARENA_ARRAY(kit->arena, struct tn_field, COLUMNS_MAX);
    struct tn_schema *schema = TN_ARENA_NEW(kit->arena, struct tn_schema);
    for (uint32_t k = 0; k < node.keys_count; k++)
        fields[schema->fields_count++] = in->fields[node.keys[k]];
    for (uint32_t a = 0; a < calls.count; a++)
        fields[schema->fields_count++] = (struct tn_field){
            tn_str_of(tn_arena_printf(kit->arena, "a%u", a)), calls.items[a].type};
    if (window) {
        fields[schema->fields_count++] =
            (struct tn_field){TN_STR("windowstart"), tn_type_of(TN_K_BIGINT)};
        fields[schema->fields_count++] =
            (struct tn_field){TN_STR("windowend"), tn_type_of(TN_K_BIGINT)};
    }
    schema->fields = fields;
    node.schema = schema;
    node.aggs_count = calls.count;
    node.aggs = calls.items;
    node.agg_args = (const uint32_t(*)[4])calls.args;
    node.store = new_store(kit, store);
    return add(kit, node);
}

/* Keys and partial states. */
static struct tn_topic_decl *fold_decl(struct plan_kit *kit, const char *topic,
                                       const struct tn_schema *in, uint32_t keys_count,
                                       int32_t partitions_count)
{
    struct tn_field *fields = TN_ARENA_ARRAY(kit->arena, struct tn_field, keys_count + 1);
    struct tn_schema *schema = TN_ARENA_NEW(kit->arena, struct tn_schema);
    struct tn_topic_decl *decl = kit_decl(kit, topic, "k INTEGER, states VARCHAR", 1,
                                          &tn_format_kafka, &tn_format_raw, partitions_count);
    memcpy(fields, in->fields, keys_count * sizeof *fields);
    fields[keys_count] = (struct tn_field){TN_STR("states"), tn_type_of(TN_K_BYTES)};
    *schema = (struct tn_schema){keys_count + 1, fields};
    decl->schema = schema;
    decl->keys_count = keys_count;
    decl->key_format = keys_count > 1 ? &tn_format_json : &tn_format_kafka;
    decl->is_key_bare = keys_count == 1;
    decl->is_value_bare = true;
    return decl;
}

int kit_fold(struct plan_kit *kit, int input, const char *topic, const char *keys,
             const char *calls, const char *store, int32_t partitions_count)
{
    const struct tn_schema *in = kit->nodes[input].schema;
    struct tn_expr **exprs = TN_ARENA_ARRAY(kit->arena, struct tn_expr *, in->fields_count + 1);
    for (uint32_t c = 0; c < in->fields_count; c++)
        exprs[c] = kit_at(kit, in, c);
    int agg = kit_aggregate(kit, input, keys, calls, NULL, store);
    struct tn_node node = kit->nodes[agg];
    struct tn_topic_decl *decl = fold_decl(kit, topic, in, node.keys_count, partitions_count);
    kit->nodes_count--; /* not here but behind the topic */
    int at = kit_repartition(kit, input, decl, exprs);
    struct tn_node *fold = &kit->nodes[at];
    fold->schema = in;
    fold->keys_count = node.keys_count;
    fold->aggs_count = node.aggs_count;
    fold->aggs = node.aggs;
    fold->agg_args = node.agg_args;
    fold->is_fold = true;
    kit_stage(kit, partitions_count);
    node.input = kit_source(kit, decl);
    node.is_fold = true;
    kit_store(kit)->stage = kit->plan->stages_count;
    kit_store(kit)->node = kit->nodes_count;
    return add(kit, node);
}

void kit_stage(struct plan_kit *kit, int32_t partitions_count)
{
    struct tn_stage *stage = &kit->plan->stages[kit->plan->stages_count++];
    stage->partitions_count = partitions_count;
    stage->nodes_count = kit->nodes_count;
    stage->nodes = TN_ARENA_ARRAY(kit->arena, struct tn_node, kit->nodes_count);
    memcpy(stage->nodes, kit->nodes, kit->nodes_count * sizeof *stage->nodes);
    kit->nodes_count = 0;
}

struct tn_plan *kit_done(struct plan_kit *kit)
{
    struct tn_err err = TN_ERR_INIT;
    kit->plan->stores_count = kit->stores_count;
    if (tn_plan_compile(kit->plan, &err) != TN_OK)
        give_up("plan does not compile", err.message);
    return kit->plan;
}
