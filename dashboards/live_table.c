/* Rows of the charted table and the dead letters, read by SQL like everybody's. @thread builder
 */
#include <stdio.h>

#include "dashboards/live_int.h"
#include "sql/writers.h"
#include "stream/base/utf8.h"

#define DEAD_BYTES_MAX 300 /* of a dead letter, shown */

/* Collects rows as JSON. */
struct collect {
    struct tn_rows rows; /* first member */
    struct tn_buf *buf;
    void (*print)(struct tn_buf *buf, const struct tn_batch *batch, uint32_t row);
    uint32_t count;
};

static enum tn_status collect_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                      struct tn_err *err)
{
    (void)rows;
    (void)schema;
    (void)err;
    return TN_OK;
}

static enum tn_status collect_batch(struct tn_rows *rows, const struct tn_batch *batch,
                                    struct tn_err *err)
{
    struct collect *collect = (struct collect *)rows;
    (void)err;
    for (uint32_t row = 0; row < batch->rows_count; row++) {
        if (collect->count++)
            tn_buf_add_byte(collect->buf, ',');
        collect->print(collect->buf, batch, row);
    }
    return TN_OK;
}

static enum tn_status run(struct tn_live *live, const struct tn_buf *text, struct collect *collect,
                          struct tn_err *err)
{
    struct tn_session session;
    enum tn_statement_class class;
    struct tn_budget budget = {.clock = live->config.clock, .rows_max = 1000};
    budget.deadline_ns = tn_mono_ns(live->config.clock) + (int64_t)TNI_LIVE_QUERY_MS * 1000000;
    atomic_init(&budget.memory_bytes, 0);
    atomic_init(&budget.is_cancelled, false);
    tn_session_init(&session);
    session.is_read_only = true;
    collect->rows = (struct tn_rows){collect_columns, collect_batch};
    return tn_db_run(live->config.db, &session, tn_buf_str(text), &budget, &collect->rows, &class,
                     err);
}

/* A cell as JSON text, also when it is a number: labels. */
static void print_text(struct tn_buf *buf, const struct tn_column *col, uint32_t row)
{
    struct tn_buf text;
    if (tn_column_is_null(col, row)) {
        tn_buf_add_text(buf, "\"null\"");
        return;
    }
    tn_buf_init(&text, 1 << 20);
    tn_cell_text(&text, col, row);
    tn_buf_add_json(buf, tn_buf_str(&text));
    tn_buf_release(&text);
}

static void print_number(struct tn_buf *buf, const struct tn_column *col, uint32_t row)
{
    if (tn_column_is_null(col, row))
        tn_buf_add_byte(buf, '0');
    else
        tn_cell_json(buf, col, row);
}

/* [label, value, key]; with a window's start also in the label. */
static void print_group(struct tn_buf *buf, const struct tn_batch *batch, uint32_t row)
{
    tn_buf_add_byte(buf, '[');
    print_text(buf, &batch->columns[0], row);
    if (batch->schema->fields_count > 3 && !tn_column_is_null(&batch->columns[3], row)) {
        int64_t start_s = tn_column_i64(&batch->columns[3], row) / 1000 % 86400;
        buf->len--; /* into the text: its closing quote goes behind */
        tn_buf_printf(buf, " · %02d:%02d:%02d UTC\"", (int)(start_s / 3600),
                      (int)(start_s / 60 % 60), (int)(start_s % 60));
    }
    tn_buf_add_byte(buf, ',');
    print_number(buf, &batch->columns[1], row);
    tn_buf_add_byte(buf, ',');
    print_text(buf, &batch->columns[2], row);
    tn_buf_add_byte(buf, ']');
}

static void print_sums(struct tn_buf *buf, const struct tn_batch *batch, uint32_t row)
{
    tn_buf_add_text(buf, "\"total\":");
    print_number(buf, &batch->columns[0], row);
    tn_buf_add_text(buf, ",\"groups\":");
    print_number(buf, &batch->columns[1], row);
}

/* Raw bytes as text where they are text. */
static void print_raw(struct tn_buf *buf, const struct tn_column *col, uint32_t row)
{
    struct tn_str raw = tn_column_str(col, row);
    size_t len = raw.len < DEAD_BYTES_MAX ? raw.len : DEAD_BYTES_MAX;
    if (tn_column_is_null(col, row) || !tn_utf8_ok(raw.ptr, raw.len))
        print_text(buf, col, row);
    else
        tn_buf_add_json(buf, (struct tn_str){raw.ptr, tn_utf8_prefix(raw.ptr, len)});
}

static void print_dead(struct tn_buf *buf, const struct tn_batch *batch, uint32_t row)
{
    static const char *const names[] = {"time", "topic", "partition", "offset", "reason", "value"};
    for (uint32_t i = 0; i < 6; i++) {
        tn_buf_printf(buf, "%c\"%s\":", i ? ',' : '{', names[i]);
        if (batch->columns[i].type->kind == TN_K_BYTES)
            print_raw(buf, &batch->columns[i], row);
        else
            print_text(buf, &batch->columns[i], row);
    }
    tn_buf_add_byte(buf, '}');
}

/* ---- which table ---- */

static bool is_counted(const struct tn_field *field)
{
    return tn_kind_is_number(field->type->kind);
}

bool tni_live_table_columns(const struct tn_object *object, uint32_t *ret_label,
                            uint32_t *ret_value)
{
    const struct tn_schema *schema = object->schema;
    uint32_t keys = object->decl.keys_count, label = 0, value = UINT32_MAX;
    bool is_table = object->kind == TN_OBJ_KTABLE;
    if (!is_table || !schema || keys == 0 || keys >= schema->fields_count ||
        tn_str_eq(tn_str_of(object->schema_name), TN_STR("system")))
        return false;
    for (uint32_t i = schema->fields_count; i-- > keys;) {
        if (schema->fields[i].type->kind == TN_K_VARCHAR)
            label = i;
        if (is_counted(&schema->fields[i]))
            value = i;
    }
    for (uint32_t i = schema->fields_count; i-- > keys;)
        if (is_counted(&schema->fields[i]) &&
            tn_str_eq_nocase(schema->fields[i].name, TN_STR("count")))
            value = i;
    *ret_label = label;
    *ret_value = value;
    return value != UINT32_MAX;
}

struct find {
    struct tn_engine *engine;
    const char *name;
    const struct tn_object *found, *fallback;
    int rank; /* of fallback */
};

static bool match(void *ctx, const struct tn_object *object)
{
    struct find *find = ctx;
    uint32_t label, value;
    if (!tni_live_table_columns(object, &label, &value))
        return true;
    if (find->name[0] && tn_str_eq_nocase(tn_str_of(object->name), tn_str_of(find->name)))
        find->found = object;
    bool has_rows = object->query_id && tn_engine_table_rows(find->engine, object->query_id) > 0;
    bool has_count = tn_str_eq_nocase(object->schema->fields[value].name, TN_STR("count"));
    int rank = 1 + has_rows * 4 + has_count * 2 + (object->decl.window == TN_WINDOW_NONE);
    if (rank > find->rank) {
        find->fallback = object;
        find->rank = rank;
    }
    return !find->found;
}

const struct tn_object *tni_live_table_find(struct tn_live *live, const struct tn_catalog *catalog,
                                            struct tni_live_reader *reader)
{
    struct find find = {.engine = live->config.engine, .name = reader->table};
    tn_catalog_each(catalog, match, &find);
    if (find.found)
        return find.found;
    /* A reader without a choice keeps the first table that had rows. */
    if (find.rank > 4)
        snprintf(reader->table, sizeof reader->table, "%s", find.fallback->name);
    return find.fallback;
}

/* ---- statements ---- */

static void add_quoted(struct tn_buf *buf, struct tn_str name)
{
    tn_buf_add_byte(buf, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"')
            tn_buf_add_byte(buf, '"');
        tn_buf_add_byte(buf, name.ptr[i]);
    }
    tn_buf_add_byte(buf, '"');
}

static void rows_statement(const struct tn_object *object, uint32_t label, uint32_t value,
                           struct tn_buf *buf)
{
    const struct tn_field *fields = object->schema->fields;
    bool is_windowed = object->decl.window != TN_WINDOW_NONE;
    tn_buf_add_text(buf, "SELECT ");
    add_quoted(buf, fields[label].name);
    tn_buf_add_text(buf, ", ");
    add_quoted(buf, fields[value].name);
    tn_buf_add_text(buf, ", ");
    add_quoted(buf, fields[0].name);
    if (is_windowed)
        tn_buf_add_text(buf, ", WINDOWSTART");
    tn_buf_add_text(buf, " FROM ");
    add_quoted(buf, tn_str_of(object->name));
    tn_buf_add_text(buf, " ORDER BY ");
    if (is_windowed)
        tn_buf_add_text(buf, "WINDOWSTART DESC, ");
    add_quoted(buf, fields[value].name);
    tn_buf_printf(buf, " DESC, 3 LIMIT %d", TNI_LIVE_ROWS);
}

static void sums_statement(const struct tn_object *object, uint32_t value, struct tn_buf *buf)
{
    tn_buf_add_text(buf, "SELECT sum(");
    add_quoted(buf, object->schema->fields[value].name);
    tn_buf_add_text(buf, "), count(*) FROM ");
    add_quoted(buf, tn_str_of(object->name));
}

void tni_live_table(struct tn_live *live, const struct tn_object *object, struct tn_buf *buf)
{
    uint32_t label, value;
    struct tn_err err = TN_ERR_INIT;
    struct tn_buf text, rows;
    if (!object || !tni_live_table_columns(object, &label, &value)) {
        tn_buf_add_text(buf, "null");
        return;
    }
    tn_buf_init(&text, 64 << 10);
    tn_buf_init(&rows, TNI_LIVE_FRAME_MAX);
    struct collect groups = {.buf = &rows, .print = print_group};
    rows_statement(object, label, value, &text);
    enum tn_status st = run(live, &text, &groups, &err);
    tn_buf_add_text(buf, "{\"name\":");
    tn_buf_add_json(buf, tn_str_of(object->name));
    tn_buf_add_text(buf, ",\"label\":");
    tn_buf_add_json(buf, object->schema->fields[label].name);
    tn_buf_add_text(buf, ",\"value\":");
    tn_buf_add_json(buf, object->schema->fields[value].name);
    tn_buf_add_text(buf, ",\"rows\":[");
    tn_buf_add_str(buf, tn_failed(st) ? TN_STR("") : tn_buf_str(&rows));
    tn_buf_add_text(buf, "],");
    tn_buf_reset(&rows);
    tn_buf_reset(&text);
    struct collect sums = {.buf = &rows, .print = print_sums};
    sums_statement(object, value, &text);
    if (!tn_failed(st))
        st = run(live, &text, &sums, &err);
    if (tn_failed(st) || rows.len == 0)
        tn_buf_add_text(buf, "\"total\":0,\"groups\":0");
    else
        tn_buf_add_str(buf, tn_buf_str(&rows));
    tn_buf_add_text(buf, ",\"error\":");
    tn_buf_add_json(buf, tn_str_of(tn_failed(st) ? err.message : ""));
    tn_buf_add_byte(buf, '}');
    tn_buf_release(&text);
    tn_buf_release(&rows);
}

void tni_live_dead(struct tn_live *live, struct tn_buf *buf)
{
    struct tni_live_past *past = &live->past;
    int64_t dead = tn_metric_value(live->dead), now_ns = tn_mono_ns(live->config.clock);
    bool is_due = past->dead_at_ns == 0 ||
                  (dead != past->dead_seen && now_ns - past->dead_at_ns > 2000000000);
    if (is_due) {
        struct tn_buf text;
        struct tn_err err = TN_ERR_INIT;
        struct collect letters = {.buf = &live->dead_letters, .print = print_dead};
        tn_buf_init(&text, 4096);
        tn_buf_printf(&text,
                      "SELECT \"timestamp\", topic, \"partition\", \"offset\", reason, value "
                      "FROM system.dead_letters ORDER BY 1 DESC, 3, 4 DESC LIMIT %d",
                      TNI_LIVE_DEAD);
        tn_buf_reset(&live->dead_letters);
        if (tn_failed(run(live, &text, &letters, &err)))
            tn_buf_reset(&live->dead_letters);
        tn_buf_release(&text);
        past->dead_seen = dead;
        past->dead_at_ns = now_ns;
    }
    tn_buf_add_byte(buf, '[');
    tn_buf_add_str(buf, tn_buf_str(&live->dead_letters));
    tn_buf_add_byte(buf, ']');
}
