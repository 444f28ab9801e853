/* Properties of CREATE SINK … WITH (…): one table that is parser, validator and documentation.
 * '_' and '.' in names mean the same (notify_topic, notify.topic). The property names of
 * Confluent's S3 sink connector are accepted: they are mapped, accepted where they change nothing
 * here, or refused with the reason.
 *
 * Ownership: strings live in the arena given. @thread any; a filled struct is immutable
 */
#ifndef TN_CONNECTORS_SINK_OPTIONS_H
#define TN_CONNECTORS_SINK_OPTIONS_H

#include "stream/base/opt.h"
#include "connectors/pack.h"
#include "stream/type.h"

enum tn_sink_layout { TN_SINK_CHANGE, TN_SINK_VALUE, TN_SINK_RAW };
enum tn_sink_errors { TN_SINK_ERRORS_LETTER, TN_SINK_ERRORS_SKIP, TN_SINK_ERRORS_FAIL };
enum tn_sink_nulls { TN_SINK_NULLS_WRITE, TN_SINK_NULLS_IGNORE, TN_SINK_NULLS_FAIL };

struct tn_sink_options {
    const char *format, *compression, *layout_name, *errors_name, *nulls_name;
    int64_t level;
    const char *object_key; /* one object per change, by this template; NULL = files */
    /* folders */
    const char *partition_by, *path_format, *partitioner, *timestamp_field, *timestamp_extractor;
    const char *timezone;
    /* rotation; 0 = not by this rule */
    int64_t rotate_records, rotate_bytes, rotate_interval_ms, rotate_idle_ms, rotate_span_ms;
    int64_t rotate_schedule_ms, open_files_max, batch_records;
    /* faults */
    int64_t retry_ms, retry_max_ms, timeout_ms;
    /* notices */
    const char *notify_topic, *notify, *notify_url;
    int64_t notify_retries;
    const char *start;
    /* Confluent's */
    const char *format_class, *bucket, *region, *store_url, *topics_dir, *file_delim, *folder_delim;
    const char *s3_compression;
    int64_t pad_width;
    const char *accepted; /* rows that change nothing */
    const char *nothing;  /* rows with `unsupported` */

    /* derived by tn_sink_options_check */
    enum tn_sink_layout layout;
    enum tn_sink_errors errors;
    enum tn_sink_nulls nulls;
    enum tn_pack_kind pack;
    bool is_confluent; /* names and folders as that connector makes them */
};

extern const struct tn_opts tn_sink_opts;

void tn_sink_options_init(struct tn_sink_options *options, struct tn_arena *arena);
enum tn_status tn_sink_options_set(struct tn_sink_options *options, struct tn_str name,
                                   struct tn_str value, struct tn_arena *arena, struct tn_err *err);
/* What depends on several properties; fills the derived fields. Call once, after the last set. */
enum tn_status tn_sink_options_check(struct tn_sink_options *options, struct tn_arena *arena,
                                     struct tn_err *err);

#endif
