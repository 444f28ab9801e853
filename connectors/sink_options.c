/* The table of a sink's properties. Contract: connectors/sink_options.h.
 *
 * Two rows may fill one field (flush.size, rotate.records). Defaults are set in the order of the
 * table, so an alias has no default of its own: tn_sink_options_init sets those of the first rows
 * only. */
#include "connectors/sink_options.h"

#include <string.h>

#include "stream/base/mem.h"

#define AT(field)    offsetof(struct tn_sink_options, field)
#define NAME_MAX_LEN 64

static const struct tn_opt items[] = {
    {.name = "format",
     .type = TN_OPT_CHOICE,
     .offset = AT(format),
     .deflt = "json",
     .choices = "json",
     .help = "json: one JSON object a line"},
    {.name = "compression",
     .type = TN_OPT_CHOICE,
     .offset = AT(compression),
     .deflt = "none",
     .choices = "none,gzip,zstd",
     .help = "of each file"},
    {.name = "compression.level",
     .type = TN_OPT_INT,
     .offset = AT(level),
     .deflt = "0",
     .min = 0,
     .max = 19,
     .help = "0 = default of the kind (gzip 6, zstd 3)"},
    {.name = "layout",
     .type = TN_OPT_CHOICE,
     .offset = AT(layout_name),
     .choices = "change,value,raw",
     .help = "change: columns, _op, _ts, _partition, _offset; value: the value bytes; raw: key and "
             "value as text with _ts, _partition, _offset"},
    {.name = "object.key",
     .type = TN_OPT_STRING,
     .offset = AT(object_key),
     .help = "one object per change, named by this template: ${date:now:pattern} ${exchangeId} "
             "${topic} ${partition} ${offset}"},
    {.name = "partition.by",
     .type = TN_OPT_STRING,
     .offset = AT(partition_by),
     .help = "folders: columns and year, month, day, hour (of the record's time, UTC), "
             "comma-separated"},
    {.name = "path.format",
     .type = TN_OPT_STRING,
     .offset = AT(path_format),
     .help = "folders as a date pattern: 'dt'=yyyy-MM-dd/'hour'=HH"},
    {.name = "timestamp.field",
     .type = TN_OPT_STRING,
     .offset = AT(timestamp_field),
     .help = "column that gives the time of folders and of rotate.span"},
    {.name = "rotate.records",
     .type = TN_OPT_INT,
     .offset = AT(rotate_records),
     .deflt = "1000000",
     .min = 0,
     .max = INT64_MAX,
     .help = "records of one source partition in a cut"},
    {.name = "rotate.bytes",
     .type = TN_OPT_BYTES,
     .offset = AT(rotate_bytes),
     .deflt = "32m",
     .min = 0,
     .max = (int64_t)1 << 30,
     .help = "bytes of the largest file"},
    {.name = "rotate.interval",
     .type = TN_OPT_MS,
     .offset = AT(rotate_interval_ms),
     .deflt = "30s",
     .min = 0,
     .max = INT64_MAX,
     .help = "age of the oldest record not yet in a file"},
    {.name = "rotate.idle",
     .type = TN_OPT_MS,
     .offset = AT(rotate_idle_ms),
     .deflt = "5s",
     .min = 0,
     .max = INT64_MAX,
     .help = "no record came for so long"},
    {.name = "rotate.span",
     .type = TN_OPT_MS,
     .offset = AT(rotate_span_ms),
     .deflt = "0",
     .min = 0,
     .max = INT64_MAX,
     .help = "time between first and last record of a cut, by their timestamps"},
    {.name = "max.open.files",
     .type = TN_OPT_INT,
     .offset = AT(open_files_max),
     .deflt = "64",
     .min = 1,
     .max = 4096,
     .help = "folders that are filled at once"},
    {.name = "batch.records",
     .type = TN_OPT_INT,
     .offset = AT(batch_records),
     .deflt = "1000",
     .min = 1,
     .max = 10000,
     .help = "one object per change: changes between two entries of the table log"},
    {.name = "retry.backoff",
     .type = TN_OPT_MS,
     .offset = AT(retry_ms),
     .deflt = "200",
     .min = 1,
     .max = 3600000,
     .help = "first wait after a failure; doubles"},
    {.name = "retry.backoff.max",
     .type = TN_OPT_MS,
     .offset = AT(retry_max_ms),
     .deflt = "10s",
     .min = 1,
     .max = 3600000,
     .help = "longest wait between tries"},
    {.name = "timeout",
     .type = TN_OPT_MS,
     .offset = AT(timeout_ms),
     .deflt = "30s",
     .min = 1,
     .max = 3600000,
     .help = "of one request to the store"},
    {.name = "errors",
     .type = TN_OPT_CHOICE,
     .offset = AT(errors_name),
     .deflt = "dead_letter",
     .choices = "dead_letter,skip,fail",
     .help = "records that do not fit the layout"},
    {.name = "null.values",
     .type = TN_OPT_CHOICE,
     .offset = AT(nulls_name),
     .deflt = "write",
     .choices = "write,ignore,fail",
     .help = "records without value (tombstones)"},
    {.name = "notify.topic",
     .type = TN_OPT_STRING,
     .offset = AT(notify_topic),
     .help = "topic that gets a notice once the table log has the entry"},
    {.name = "notify",
     .type = TN_OPT_CHOICE,
     .offset = AT(notify),
     .deflt = "records",
     .choices = "records,commit",
     .help = "the notice: the records themselves, or one JSON object per entry of the table log"},
    {.name = "notify.url",
     .type = TN_OPT_STRING,
     .offset = AT(notify_url),
     .help = "webhook: the JSON object is posted there too"},
    {.name = "notify.retries",
     .type = TN_OPT_INT,
     .offset = AT(notify_retries),
     .deflt = "10",
     .min = 0,
     .max = 1000000,
     .help = "tries of the webhook before its notice becomes a dead letter"},
    {.name = "start",
     .type = TN_OPT_CHOICE,
     .offset = AT(start),
     .deflt = "earliest",
     .choices = "earliest,latest",
     .help = "where a new sink starts"},
    {.name = "format.class",
     .type = TN_OPT_STRING,
     .offset = AT(format_class),
     .help = "JsonFormat"},
    {.name = "flush.size",
     .type = TN_OPT_INT,
     .offset = AT(rotate_records),
     .min = 1,
     .max = INT64_MAX,
     .help = "as rotate.records"},
    {.name = "rotate.interval.ms",
     .type = TN_OPT_INT,
     .offset = AT(rotate_span_ms),
     .min = -1,
     .max = INT64_MAX,
     .help = "as rotate.span"},
    {.name = "rotate.schedule.interval.ms",
     .type = TN_OPT_INT,
     .offset = AT(rotate_schedule_ms),
     .min = -1,
     .max = INT64_MAX,
     .help = "wall clock, counted from midnight UTC"},
    {.name = "topics.dir",
     .type = TN_OPT_STRING,
     .offset = AT(topics_dir),
     .help = "first folder of all keys"},
    {.name = "directory.delim", .type = TN_OPT_STRING, .offset = AT(folder_delim), .help = "'/'"},
    {.name = "file.delim",
     .type = TN_OPT_STRING,
     .offset = AT(file_delim),
     .help = "between topic, partition and offset in file names"},
    {.name = "filename.offset.zero.pad.width",
     .type = TN_OPT_INT,
     .offset = AT(pad_width),
     .deflt = "10",
     .min = 0,
     .max = 20,
     .help = "digits of the offset in file names"},
    {.name = "partitioner.class",
     .type = TN_OPT_STRING,
     .offset = AT(partitioner),
     .help = "Default, Field, TimeBased, Daily or HourlyPartitioner"},
    {.name = "partition.field.name",
     .type = TN_OPT_STRING,
     .offset = AT(partition_by),
     .help = "as partition.by"},
    {.name = "timestamp.extractor",
     .type = TN_OPT_STRING,
     .offset = AT(timestamp_extractor),
     .help = "Record or RecordField; Wallclock is not repeatable"},
    {.name = "timezone", .type = TN_OPT_STRING, .offset = AT(timezone), .help = "UTC"},
    {.name = "s3.bucket.name",
     .type = TN_OPT_STRING,
     .offset = AT(bucket),
     .help = "bucket, when TO is not given"},
    {.name = "s3.region",
     .type = TN_OPT_STRING,
     .offset = AT(region),
     .help = "region of the bucket; set AWS_REGION for the process"},
    {.name = "store.url",
     .type = TN_OPT_STRING,
     .offset = AT(store_url),
     .help = "set AWS_ENDPOINT_URL for the process"},
    {.name = "s3.compression.type",
     .type = TN_OPT_CHOICE,
     .offset = AT(s3_compression),
     .deflt = "none",
     .choices = "none,gzip",
     .help = "as compression"},
    {.name = "s3.compression.level",
     .type = TN_OPT_INT,
     .offset = AT(level),
     .min = -1,
     .max = 9,
     .help = "as compression.level"},
    {.name = "behavior.on.null.values",
     .type = TN_OPT_CHOICE,
     .offset = AT(nulls_name),
     .deflt = "write",
     .choices = "write,ignore,fail",
     .help = "as null.values"},
    {.name = "name",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "topics",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "connector.class",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "tasks.max",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "storage.class",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "key.converter",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "value.converter",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "key.converter.schemas.enable",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "value.converter.schemas.enable",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "schema.compatibility",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "schema.cache.size",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "s3.part.size",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "s3.part.retries",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "s3.retry.backoff.ms",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "retry.backoff.ms",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "s3.path.style.access.enabled",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "s3.send.digest",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "s3.http.send.expect.continue",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "enable.conditional.writes",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "max.write.duration.ms",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "rotate.file.on.partition.change",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "partition.duration.ms",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "locale",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "shutdown.timeout.ms",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "errors.tolerance",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "errors.deadletterqueue.topic.name",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "errors.deadletterqueue.context.headers.enable",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "format.bytearray.extension",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "format.bytearray.separator",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "json.decimal.format",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "parquet.codec",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "avro.codec",
     .type = TN_OPT_STRING,
     .offset = AT(accepted),
     .help = "accepted for compatibility; changes nothing"},
    {.name = "aws.access.key.id",
     .type = TN_OPT_STRING,
     .unsupported = "secrets do not belong into SQL text; the environment or the shared "
                    "credentials file has them",
     .help = "not available"},
    {.name = "aws.secret.access.key",
     .type = TN_OPT_STRING,
     .unsupported = "secrets do not belong into SQL text; the environment or the shared "
                    "credentials file has them",
     .help = "not available"},
    {.name = "s3.credentials.provider.class",
     .type = TN_OPT_STRING,
     .unsupported = "credentials come from the environment, the shared file or the instance",
     .help = "not available"},
    {.name = "s3.ssea.name",
     .type = TN_OPT_STRING,
     .unsupported = "not implemented; set it as a default of the bucket",
     .help = "not available"},
    {.name = "s3.sse.kms.key.id",
     .type = TN_OPT_STRING,
     .unsupported = "not implemented; set it as a default of the bucket",
     .help = "not available"},
    {.name = "s3.sse.customer.key",
     .type = TN_OPT_STRING,
     .unsupported = "not implemented; set it as a default of the bucket",
     .help = "not available"},
    {.name = "s3.acl.canned",
     .type = TN_OPT_STRING,
     .unsupported = "not implemented; set it as a default of the bucket",
     .help = "not available"},
    {.name = "s3.object.tagging",
     .type = TN_OPT_STRING,
     .unsupported = "not implemented; set it as a default of the bucket",
     .help = "not available"},
    {.name = "s3.wan.mode",
     .type = TN_OPT_STRING,
     .unsupported = "not implemented; set it as a default of the bucket",
     .help = "not available"},
    {.name = "store.kafka.keys",
     .type = TN_OPT_STRING,
     .unsupported = "the layouts change and raw hold the key; headers are not stored",
     .help = "not available"},
    {.name = "store.kafka.headers",
     .type = TN_OPT_STRING,
     .unsupported = "the layouts change and raw hold the key; headers are not stored",
     .help = "not available"},
    {.name = "keys.format.class",
     .type = TN_OPT_STRING,
     .unsupported = "the layouts change and raw hold the key; headers are not stored",
     .help = "not available"},
    {.name = "headers.format.class",
     .type = TN_OPT_STRING,
     .unsupported = "the layouts change and raw hold the key; headers are not stored",
     .help = "not available"},
    {.name = "s3.schema.partition.affix.type",
     .type = TN_OPT_STRING,
     .unsupported = "there is no schema registry",
     .help = "not available"},
};

const struct tn_opts tn_sink_opts = {"sink WITH", items, sizeof items / sizeof *items};

void tn_sink_options_init(struct tn_sink_options *options, struct tn_arena *arena)
{
    *options = (struct tn_sink_options){0};
    tn_opt_defaults(&tn_sink_opts, options, arena);
    options->rotate_records = 1000000; /* rows behind in the table are aliases */
    options->rotate_span_ms = 0;
    options->rotate_schedule_ms = 0;
    options->level = 0;
    options->s3_compression = NULL;
}

/* Lower case, '_' as '.'. */
static struct tn_str plain_name(struct tn_str name, char text[NAME_MAX_LEN])
{
    size_t len = name.len < NAME_MAX_LEN ? name.len : NAME_MAX_LEN;
    for (size_t i = 0; i < len; i++) {
        char c = name.ptr[i];
        text[i] = c == '_' ? '.' : c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    return (struct tn_str){text, len};
}

static bool is_confluent(const struct tn_opt *opt)
{
    static const char *const marks[] = {"format.class", "topics.dir", "connector.class",
                                        "s3.bucket.name", "partitioner.class"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (strcmp(opt->name, marks[i]) == 0)
            return true;
    return false;
}

enum tn_status tn_sink_options_set(struct tn_sink_options *options, struct tn_str name,
                                   struct tn_str value, struct tn_arena *arena, struct tn_err *err)
{
    char text[NAME_MAX_LEN];
    struct tn_str plain = plain_name(name, text);
    const struct tn_opt *opt = tn_opt_find(&tn_sink_opts, plain);
    TN_TRY(tn_opt_set(&tn_sink_opts, options, opt ? plain : name, value, arena, err));
    if (is_confluent(opt))
        options->is_confluent = true;
    return TN_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcasecmp(text + len - end_len, end) == 0;
}

/* What the connector's classes mean here. */
static enum tn_status check_confluent(struct tn_sink_options *options, struct tn_arena *arena,
                                      struct tn_err *err)
{
    const char *format = options->format_class, *part = options->partitioner;
    if (format && !ends_with(format, "JsonFormat"))
        return tn_err_set(err, TN_E_UNSUPPORTED,
                          "format.class '%s' is not available; JsonFormat is", format);
    if (options->timestamp_extractor && ends_with(options->timestamp_extractor, "Wallclock"))
        return tn_err_set(err, TN_E_UNSUPPORTED,
                          "timestamp.extractor 'Wallclock' would give another file when it is "
                          "repeated; use Record or RecordField");
    if (options->timezone && strcasecmp(options->timezone, "UTC") != 0)
        return tn_err_set(err, TN_E_UNSUPPORTED, "timezone '%s' is not available; UTC is",
                          options->timezone);
    if (options->folder_delim && strcmp(options->folder_delim, "/") != 0)
        return tn_err_set(err, TN_E_UNSUPPORTED, "directory.delim can only be '/'");
    if (part && ends_with(part, "DailyPartitioner"))
        options->path_format = "'year'=yyyy/'month'=MM/'day'=dd";
    else if (part && ends_with(part, "HourlyPartitioner"))
        options->path_format = "'year'=yyyy/'month'=MM/'day'=dd/'hour'=HH";
    else if (part && ends_with(part, "FieldPartitioner") && !options->partition_by)
        return tn_err_set(err, TN_E_INVALID, "FieldPartitioner needs partition.field.name");
    else if (part && ends_with(part, "TimeBasedPartitioner") && !options->path_format)
        return tn_err_set(err, TN_E_INVALID, "TimeBasedPartitioner needs path.format");
    (void)arena;
    return TN_OK;
}

/* A template must tell every record from every other. */
static enum tn_status check_key(const struct tn_sink_options *options, struct tn_err *err)
{
    const char *key = options->object_key;
    bool is_unique =
        strstr(key, "${exchangeId}") || (strstr(key, "${partition}") && strstr(key, "${offset}"));
    if (!is_unique) {
        tn_err_set(err, TN_E_INVALID, "object.key '%s' would give two changes one name", key);
        tn_err_hint(err, "add ${exchangeId}, or ${partition} and ${offset}");
        return TN_E_INVALID;
    }
    if (options->partition_by || options->path_format)
        return tn_err_set(err, TN_E_INVALID,
                          "object.key names the folders itself; leave partition.by out");
    if (options->pack != TN_PACK_NONE)
        return tn_err_set(err, TN_E_INVALID, "one object per change is not compressed");
    return TN_OK;
}

enum tn_status tn_sink_options_check(struct tn_sink_options *options, struct tn_arena *arena,
                                     struct tn_err *err)
{
    if (options->is_confluent)
        TN_TRY(check_confluent(options, arena, err));
    if (options->s3_compression)
        options->compression = options->s3_compression;
    options->pack = strcmp(options->compression, "gzip") == 0   ? TN_PACK_GZIP
                    : strcmp(options->compression, "zstd") == 0 ? TN_PACK_ZSTD
                                                                : TN_PACK_NONE;
    if (options->level < 0)
        options->level = 0;
    if (options->pack == TN_PACK_GZIP && options->level > 12)
        return tn_err_set(err, TN_E_INVALID, "compression.level of gzip is 1 to 12");
    if (!options->layout_name)
        options->layout_name = options->object_key || options->is_confluent ? "value" : "change";
    options->layout = strcmp(options->layout_name, "raw") == 0     ? TN_SINK_RAW
                      : strcmp(options->layout_name, "value") == 0 ? TN_SINK_VALUE
                                                                   : TN_SINK_CHANGE;
    options->errors = strcmp(options->errors_name, "skip") == 0   ? TN_SINK_ERRORS_SKIP
                      : strcmp(options->errors_name, "fail") == 0 ? TN_SINK_ERRORS_FAIL
                                                                  : TN_SINK_ERRORS_LETTER;
    options->nulls = strcmp(options->nulls_name, "ignore") == 0 ? TN_SINK_NULLS_IGNORE
                     : strcmp(options->nulls_name, "fail") == 0 ? TN_SINK_NULLS_FAIL
                                                                : TN_SINK_NULLS_WRITE;
    if (options->rotate_span_ms < 0)
        options->rotate_span_ms = 0;
    if (options->rotate_schedule_ms < 0)
        options->rotate_schedule_ms = 0;
    if (options->partition_by && options->path_format)
        return tn_err_set(err, TN_E_INVALID, "give partition.by or path.format, not both");
    return options->object_key ? check_key(options, err) : TN_OK;
}
