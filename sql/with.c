/* WITH (…) properties: the table and its checks. Contract: sql/with.h.
 *
 * Rows with `unsupported` keep known upstream properties out with their own reason instead of
 * "unknown property". What depends on several properties together (FORMAT excludes KEY_FORMAT…) is
 * checked where the statement is bound, sql/bind_decl.c.
 */
#include "sql/with.h"

#include <assert.h>
#include <stdlib.h>

#define AT(field)   offsetof(struct tni_with, field)
#define NO_REGISTRY "there is no schema registry; formats are JSON, DELIMITED, KAFKA, RAW and NONE"

static const struct tn_opt with_items[] = {
    {.name = "KAFKA_TOPIC",
     .type = TN_OPT_STRING,
     .offset = AT(kafka_topic),
     .flags = TNI_WITH_ALL,
     .help = "topic that holds the rows; a result's default is its upper-case name"},
    {.name = "FORMAT",
     .type = TN_OPT_STRING,
     .offset = AT(format),
     .flags = TNI_WITH_ALL,
     .help = "format of key and value; excludes KEY_FORMAT and VALUE_FORMAT"},
    {.name = "KEY_FORMAT",
     .type = TN_OPT_STRING,
     .offset = AT(key_format),
     .flags = TNI_WITH_ALL,
     .help = "KAFKA (default), JSON, DELIMITED or NONE"},
    {.name = "VALUE_FORMAT",
     .type = TN_OPT_STRING,
     .offset = AT(value_format),
     .flags = TNI_WITH_ALL,
     .help = "JSON, DELIMITED, KAFKA or RAW"},
    {.name = "PARTITIONS",
     .type = TN_OPT_INT,
     .offset = AT(partitions),
     .min = 1,
     .max = TN_PARTITIONS_MAX,
     .flags = TNI_WITH_ALL,
     .help = "partitions of a topic that is made here; fixed afterwards"},
    {.name = "REPLICAS",
     .type = TN_OPT_INT,
     .offset = AT(replicas),
     .min = 1,
     .max = 1000,
     .flags = TNI_WITH_ALL,
     .help = "replicas of a Kafka topic that is made here"},
    {.name = "RETENTION_MS",
     .type = TN_OPT_MS,
     .offset = AT(retention_ms),
     .deflt = "-1",
     .min = -1,
     .max = INT64_MAX,
     .flags = TNI_WITH_ALL,
     .help = "how long a stream's topic keeps records; refused for tables without window"},
    {.name = "WRAP_SINGLE_VALUE",
     .type = TN_OPT_CHOICE,
     .offset = AT(wrap_single_value),
     .choices = "true,false",
     .flags = TNI_WITH_ALL,
     .help = "one value column: written as an object (true) or bare (false)"},
    {.name = "TIMESTAMP",
     .type = TN_OPT_STRING,
     .offset = AT(timestamp),
     .flags = TNI_WITH_ALL,
     .help = "column that holds the row's time"},
    {.name = "TIMESTAMP_FORMAT",
     .type = TN_OPT_STRING,
     .offset = AT(timestamp_format),
     .flags = TNI_WITH_ALL,
     .help = "Java date pattern of a text TIMESTAMP column"},
    {.name = "WINDOW_TYPE",
     .type = TN_OPT_CHOICE,
     .offset = AT(window_type),
     .choices = "TUMBLING,HOPPING,SESSION",
     .flags = TNI_WITH_DDL,
     .help = "the topic's keys carry window bounds"},
    {.name = "WINDOW_SIZE",
     .type = TN_OPT_STRING,
     .offset = AT(window_size),
     .flags = TNI_WITH_DDL,
     .help = "size of TUMBLING or HOPPING windows, like '30 SECONDS'"},
    {.name = "KEY_DELIMITER",
     .type = TN_OPT_STRING,
     .offset = AT(key_delimiter),
     .flags = TNI_WITH_ALL,
     .help = "DELIMITED key: one character, TAB or SPACE"},
    {.name = "VALUE_DELIMITER",
     .type = TN_OPT_STRING,
     .offset = AT(value_delimiter),
     .flags = TNI_WITH_ALL,
     .help = "DELIMITED value: one character, TAB or SPACE"},
    {.name = "CLEANUP_POLICY",
     .type = TN_OPT_STRING,
     .offset = AT(cleanup_policy),
     .flags = TNI_WITH_ALL,
     .unsupported = "it follows from the kind: stream delete, table compact, windowed table both"},
    {.name = "GLOBAL",
     .type = TN_OPT_BOOL,
     .offset = AT(is_global),
     .deflt = "false",
     .flags = TNI_WITH_TABLE,
     .help = "every process reads the whole table; joins need no equal partition counts"},
    {.name = "STORE",
     .type = TN_OPT_STRING,
     .offset = AT(store),
     .flags = TNI_WITH_CTAS,
     .help = "name of the state store; without KAFKA_TOPIC its changelog is the only topic"},
    {.name = "INGEST_PATH",
     .type = TN_OPT_STRING,
     .offset = AT(ingest_path),
     .flags = TNI_WITH_DDL,
     .help = "HTTP path that takes events, beside /streams/<name>"},
    {.name = "INGEST_STATUS",
     .type = TN_OPT_INT,
     .offset = AT(ingest_status),
     .deflt = "200",
     .min = 200,
     .max = 299,
     .flags = TNI_WITH_DDL,
     .help = "HTTP status of an accepted event (default 200)"},
    {.name = "INGEST_TEXT",
     .type = TN_OPT_STRING,
     .offset = AT(ingest_text),
     .flags = TNI_WITH_DDL,
     .help = "body of the answer to an accepted event"},
    {.name = "INGEST_DEFAULTS",
     .type = TN_OPT_STRING,
     .offset = AT(ingest_defaults),
     .flags = TNI_WITH_DDL,
     .help = "JSON object: members added to events that lack them, like '{\"op\":\"ADD\"}'"},
    {.name = "INGEST_EVENT",
     .type = TN_OPT_STRING,
     .offset = AT(ingest_event),
     .flags = TNI_WITH_DDL,
     .help = "text of the stream's server-sent events, with {member}s of the value filled in"},
    {.name = "ON_ERROR",
     .type = TN_OPT_CHOICE,
     .offset = AT(on_error),
     .deflt = "dead_letter",
     .choices = "dead_letter,skip,fail",
     .flags = TNI_WITH_DDL,
     .help = "what to do with a record that cannot be used"},
    {.name = "EMIT",
     .type = TN_OPT_CHOICE,
     .offset = AT(emit),
     .deflt = "commit",
     .choices = "commit,update",
     .flags = TNI_WITH_AS | TNI_WITH_INSERT,
     .help = "table results: last value per commit, or every update"},
    {.name = "EMIT_INTERVAL_MS",
     .type = TN_OPT_MS,
     .offset = AT(emit_interval_ms),
     .deflt = "0",
     .min = 0,
     .max = 86400000,
     .flags = TNI_WITH_CTAS,
     .help = "results of this table are emitted at most this often; 0 = each commit"},
    {.name = "QUERY_ID",
     .type = TN_OPT_STRING,
     .offset = AT(query_id),
     .flags = TNI_WITH_INSERT,
     .help = "id of the query instead of a generated one"},
    {.name = "KEY_SCHEMA_ID",
     .type = TN_OPT_STRING,
     .offset = AT(refused),
     .flags = TNI_WITH_ALL,
     .unsupported = NO_REGISTRY},
    {.name = "VALUE_SCHEMA_ID",
     .type = TN_OPT_STRING,
     .offset = AT(refused),
     .flags = TNI_WITH_ALL,
     .unsupported = NO_REGISTRY},
    {.name = "KEY_SCHEMA_FULL_NAME",
     .type = TN_OPT_STRING,
     .offset = AT(refused),
     .flags = TNI_WITH_ALL,
     .unsupported = NO_REGISTRY},
    {.name = "VALUE_SCHEMA_FULL_NAME",
     .type = TN_OPT_STRING,
     .offset = AT(refused),
     .flags = TNI_WITH_ALL,
     .unsupported = NO_REGISTRY},
    {.name = "VALUE_AVRO_SCHEMA_FULL_NAME",
     .type = TN_OPT_STRING,
     .offset = AT(refused),
     .flags = TNI_WITH_ALL,
     .unsupported = NO_REGISTRY},
    {.name = "KEY_PROTOBUF_NULLABLE_REPRESENTATION",
     .type = TN_OPT_STRING,
     .offset = AT(refused),
     .flags = TNI_WITH_ALL,
     .unsupported = NO_REGISTRY},
    {.name = "VALUE_PROTOBUF_NULLABLE_REPRESENTATION",
     .type = TN_OPT_STRING,
     .offset = AT(refused),
     .flags = TNI_WITH_ALL,
     .unsupported = NO_REGISTRY},
    {.name = "SOURCED_BY_CONNECTOR",
     .type = TN_OPT_STRING,
     .offset = AT(refused),
     .flags = TNI_WITH_ALL,
     .unsupported = "there are no connectors here"},
};

#define WITH_COUNT (sizeof with_items / sizeof *with_items)
static_assert(WITH_COUNT <= TNI_WITH_MAX, "is_set has a flag for each property");

const struct tn_opts tni_with_opts = {"WITH", with_items, WITH_COUNT};

void tni_with_init(struct tni_with *with, struct tn_arena *arena)
{
    *with = (struct tni_with){0};
    tn_opt_defaults(&tni_with_opts, with, arena);
    with->ingest_status = 0;
}

static const char *statement_name(unsigned where)
{
    switch (where) {
    case TNI_WITH_STREAM: return "CREATE STREAM";
    case TNI_WITH_TABLE: return "CREATE TABLE";
    case TNI_WITH_CSAS: return "CREATE STREAM … AS SELECT";
    case TNI_WITH_CTAS: return "CREATE TABLE … AS SELECT";
    default: return "INSERT INTO … SELECT";
    }
}

static enum tn_status unknown_property(struct tn_str name, unsigned where, struct tn_err *err)
{
    const char *names[WITH_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < WITH_COUNT; i++)
        if (with_items[i].flags & where && !with_items[i].unsupported)
            names[count++] = with_items[i].name;
    const char *nearest = tn_str_nearest(name, names, count);
    tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0, "unknown property '%.*s' of %s",
              TN_STR_FMT(name), statement_name(where));
    if (nearest)
        tn_err_hint(err, "did you mean %s?", nearest);
    return TN_E_INVALID;
}

enum tn_status tni_with_set(struct tni_with *with, unsigned where, struct tn_str name,
                            struct tn_str value, struct tn_arena *arena, struct tn_err *err)
{
    size_t at = 0;
    while (at < WITH_COUNT && !tn_str_eq_nocase(tn_str_of(with_items[at].name), name))
        at++;
    if (at == WITH_COUNT)
        return unknown_property(name, where, err);
    const struct tn_opt *opt = &with_items[at];
    if (opt->unsupported)
        return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", 0, 0,
                         "property %s cannot be set: %s", opt->name, opt->unsupported);
    if (!(opt->flags & where))
        return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                         "property %s does not apply to %s", opt->name, statement_name(where));
    if (with->is_set[at])
        return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                         "property %s is given twice", opt->name);
    TN_TRY(tn_opt_set(&tni_with_opts, with, tn_str_of(opt->name), value, arena, err));
    with->is_set[at] = true;
    return TN_OK;
}

bool tni_with_is_set(const struct tni_with *with, const char *name)
{
    for (size_t i = 0; i < WITH_COUNT; i++)
        if (!strcmp(with_items[i].name, name))
            return with->is_set[i];
    tn_assert_failed("property of the table", __FILE__, __LINE__);
}

enum tn_status tni_with_format(const struct tn_formats *formats, const char *name,
                               const char *property, const struct tn_format **ret_format,
                               struct tn_err *err)
{
    static const char *const registry[] = {"AVRO", "PROTOBUF", "PROTOBUF_NOSR", "JSON_SR"};
    const struct tn_format *format = tn_format_find(formats, tn_str_of(name));
    if (format) {
        *ret_format = format;
        return TN_OK;
    }
    for (size_t i = 0; i < sizeof registry / sizeof *registry; i++)
        if (!strcasecmp(registry[i], name))
            return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", 0, 0,
                             "format %s is not supported: %s", registry[i], NO_REGISTRY);
    const char *names[32];
    size_t count = 0;
    for (size_t i = 0; i < formats->count && count < 32; i++)
        names[count++] = formats->items[i]->name;
    const char *nearest = tn_str_nearest(tn_str_of(name), names, count);
    tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
              "property %s: no format '%s'; there are JSON, DELIMITED, KAFKA, RAW and NONE",
              property, name);
    if (nearest)
        tn_err_hint(err, "did you mean %s?", nearest);
    return TN_E_INVALID;
}

static enum tn_status with_wrapping(const struct tni_with *with, struct tn_topic_decl *decl,
                                    struct tn_err *err)
{
    uint32_t values = decl->schema->fields_count - decl->keys_count;
    bool is_wrapped = !with->wrap_single_value || strcmp(with->wrap_single_value, "false") != 0;
    decl->is_value_bare = values == 1 && !(decl->value_format->flags & TN_FMT_WRAP);
    if (!tni_with_is_set(with, "WRAP_SINGLE_VALUE"))
        return TN_OK;
    if (values != 1)
        return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                         "WRAP_SINGLE_VALUE is for one value column, there are %u", values);
    if (is_wrapped && !(decl->value_format->flags & TN_FMT_WRAP))
        return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                         "format %s cannot wrap a value: WRAP_SINGLE_VALUE=true is refused",
                         decl->value_format->name);
    decl->is_value_bare = !is_wrapped;
    return TN_OK;
}

static enum tn_status with_timestamp(const struct tni_with *with, struct tn_topic_decl *decl,
                                     struct tn_arena *arena, struct tn_err *err)
{
    decl->timestamp_column = -1;
    bool has_format = tni_with_is_set(with, "TIMESTAMP_FORMAT");
    if (!tni_with_is_set(with, "TIMESTAMP")) {
        if (has_format)
            return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                             "TIMESTAMP_FORMAT needs TIMESTAMP");
        return TN_OK;
    }
    int column = tn_schema_find(decl->schema, tn_str_of(with->timestamp));
    if (column < 0)
        return tn_err_at(err, TN_E_NAME, "COLUMN_NOT_FOUND", 0, 0,
                         "property TIMESTAMP: no column '%s'", with->timestamp);
    enum tn_kind kind = decl->schema->fields[column].type->kind;
    if (kind != TN_K_BIGINT && kind != TN_K_TIMESTAMP && kind != TN_K_VARCHAR)
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", 0, 0,
                         "property TIMESTAMP: column '%s' must be BIGINT, TIMESTAMP or STRING",
                         with->timestamp);
    if ((kind == TN_K_VARCHAR) != has_format)
        return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                         kind == TN_K_VARCHAR
                             ? "a STRING column as TIMESTAMP needs TIMESTAMP_FORMAT"
                             : "TIMESTAMP_FORMAT needs a STRING column as TIMESTAMP");
    decl->timestamp_column = column;
    if (has_format)
        decl->timestamp_format = tn_arena_strdup(arena, with->timestamp_format);
    return TN_OK;
}

enum tn_status tni_with_columns(const struct tni_with *with, struct tn_topic_decl *decl,
                                struct tn_arena *arena, struct tn_err *err)
{
    TN_TRY(with_wrapping(with, decl, err));
    return with_timestamp(with, decl, arena, err);
}

enum tn_status tni_with_delimiter(const char *property, const char *text, char *ret_delimiter,
                                  struct tn_err *err)
{
    if (!strcasecmp(text, "TAB")) {
        *ret_delimiter = '\t';
    } else if (!strcasecmp(text, "SPACE")) {
        *ret_delimiter = ' ';
    } else if (strlen(text) == 1 && *text != '"' && *text != '\n' && *text != '\r') {
        *ret_delimiter = *text;
    } else {
        return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                         "property %s is '%s', expected one character, TAB or SPACE", property,
                         text);
    }
    return TN_OK;
}

static enum tn_status one_delimiter(const struct tni_with *with, const char *property,
                                    const char *text, const struct tn_format *format, char *ret,
                                    struct tn_err *err)
{
    if (!tni_with_is_set(with, property))
        return TN_OK;
    if (!format || strcmp(format->name, "DELIMITED") != 0)
        return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                         "property %s is for format DELIMITED", property);
    return tni_with_delimiter(property, text, ret, err);
}

enum tn_status tni_with_delimiters(const struct tni_with *with, struct tn_topic_decl *decl,
                                   struct tn_err *err)
{
    TN_TRY(one_delimiter(with, "KEY_DELIMITER", with->key_delimiter, decl->key_format,
                         &decl->key_delimiter, err));
    return one_delimiter(with, "VALUE_DELIMITER", with->value_delimiter, decl->value_format,
                         &decl->value_delimiter, err);
}

int64_t tni_unit_ms(struct tn_str unit)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"MILLISECOND", 1},
                 {"SECOND", 1000},
                 {"MINUTE", 60000},
                 {"HOUR", 3600000},
                 {"DAY", 86400000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct tn_str name = tn_str_of(units[i].name);
        if (tn_str_eq_nocase(name, unit))
            return units[i].ms;
        if (unit.len == name.len + 1 && (unit.ptr[name.len] | 0x20) == 's' &&
            !strncasecmp(unit.ptr, name.ptr, name.len))
            return units[i].ms;
    }
    return 0;
}

enum tn_status tni_with_duration(const char *property, const char *text, int64_t *ret_ms,
                                 struct tn_err *err)
{
    char *end;
    long long count = strtoll(text, &end, 10);
    while (*end == ' ')
        end++;
    size_t len = strlen(end);
    while (len && end[len - 1] == ' ')
        len--;
    int64_t unit = tni_unit_ms((struct tn_str){end, len});
    if (end == text || count <= 0 || !unit || count > INT64_MAX / unit)
        return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                         "property %s is '%s', expected a duration like '30 SECONDS'", property,
                         text);
    *ret_ms = count * unit;
    return TN_OK;
}
