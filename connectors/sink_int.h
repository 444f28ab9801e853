/* Inside of the sinks: see connectors/sink.h for the mechanism. Everything here belongs to one
 * sink's thread unless it says otherwise. Private to connectors/ and its tests.
 */
#ifndef TN_CONNECTORS_SINK_INT_H
#define TN_CONNECTORS_SINK_INT_H

#include <pthread.h>
#include "connectors/pack.h"
#include "connectors/sink.h"
#include "stream/base/time_pattern.h"

#define TNI_SINK_BLOCK_BYTES ((size_t)512 << 10) /* what is packed at once */
#define TNI_SINK_READ_BYTES  ((size_t)1 << 20)
#define TNI_SINK_FOLDERS_MAX 8

/* ---- sink_shape.c: what a spec means: columns, folders, names ---- */

enum tni_folder_kind { TNI_FOLDER_COLUMN, TNI_FOLDER_TIME, TNI_FOLDER_PARTITION };

struct tni_folder_item {
    enum tni_folder_kind kind;
    struct tn_str name;              /* "country", "dt" */
    int column;                      /* COLUMN: of decl.schema */
    struct tn_time_pattern *pattern; /* TIME */
};

/* A piece of an object key template. */
struct tni_key_piece {
    enum tni_key_kind {
        TNI_KEY_TEXT,
        TNI_KEY_DATE,
        TNI_KEY_EXCHANGE,
        TNI_KEY_TOPIC,
        TNI_KEY_PARTITION,
        TNI_KEY_OFFSET
    } kind;
    struct tn_str text;
    struct tn_time_pattern *pattern;
};

struct tni_sink_shape {
    uint32_t folders_count;
    struct tni_folder_item folders[TNI_SINK_FOLDERS_MAX];
    struct tn_time_pattern *path_pattern; /* whole path by a pattern; NULL */
    int64_t folder_step_us; /* the folder's time part is equal within such steps; 0 = no time */
    int time_column;        /* of decl.schema; −1 = the record's time */
    uint32_t columns_count; /* of the file, CHANGE: fields first, then _op … */
    const struct tn_schema *columns;
    const int *from; /* column → field of decl.schema, −1 − n: n-th of the extra ones */
    bool needs_columns;
    uint32_t pieces_count;
    struct tni_key_piece *pieces; /* object.key */
};
enum tn_status tni_sink_shape_make(const struct tn_sink_spec *spec, struct tn_arena *arena,
                                   struct tni_sink_shape *ret_shape, struct tn_err *err);
/* <table>-<partition>-<first>-<epoch>.json.gz, or as Confluent names it. */
void tni_sink_file_name(const struct tn_sink_spec *spec, int32_t partition, int64_t first,
                        int64_t epoch, struct tn_buf *buf);
/* 15 hexadecimal digits of the SHA-256 of topic id, sink and epoch. */
void tni_sink_exchange(const struct tn_sink_spec *spec, const uint8_t log_id[16], int64_t epoch,
                       char ret_text[16]);
void tni_sink_object_key(const struct tni_sink_shape *shape, const struct tn_sink_spec *spec,
                         const char exchange[16], int32_t partition, int64_t offset,
                         int64_t timestamp_ms, struct tn_buf *buf);

/* ---- sink_encode.c: records → open files ---- */

struct tni_sink_stat {
    bool has_value;
    int64_t nulls;
    struct tn_table_value min, max; /* text in min_text, max_text */
    char min_text[40], max_text[40];
    bool is_max_open; /* the maximum is longer than can be kept: unknown */
};

struct tni_sink_file {
    struct tn_buf folder; /* "dt=2026-01-02/country=PL", no final '/' */
    struct tn_buf raw, out, path;
    int64_t first, next, rows, raw_total;
    struct tni_sink_stat *stats; /* one per column of the shape; NULL = none are kept */
    struct tn_table_part parts[TNI_SINK_FOLDERS_MAX]; /* values live in part_text */
    uint32_t parts_count;
    struct tn_buf part_text;
    int spool_fd;                   /* −1 = none */
    int64_t spooled;                /* bytes before those in out */
    struct tni_sink_upload *upload; /* in parts, under way; NULL */
    uint32_t crc32;                 /* of what was spooled; of all once closed */
    bool is_closed, is_errors;
};

struct tni_sink_part {
    int32_t partition;
    int64_t committed, next; /* in the table up to here; in open files up to here */
    int64_t rows, bytes;     /* of the open files; bytes of the largest */
    int64_t opened_ns, last_ns, schedule_slot;
    int64_t ts_first_ms, ts_min_ms;
    struct tni_sink_file *files; /* open ones */
    uint32_t files_count, files_cap;
    int64_t end_durable;
    bool is_due; /* more than this read gave is ruled out: cut now */
};

struct tni_encoder {
    const struct tn_sink_spec *spec;
    const struct tni_sink_shape *shape;
    const struct tn_formats *formats;
    struct tn_codec *key_codec, *value_codec, *out_codec;
    struct tn_schema key_schema, value_schema;
    struct tn_packer *packer;
    struct tn_arena codecs, rows; /* per encoder; per call */
    struct tn_buf text, folder;
    size_t *ends;
    char exchange[16];
    int64_t epoch;
    int64_t bad; /* records left out since open */
};

enum tn_status tni_encoder_open(const struct tn_sink_spec *spec, const struct tni_sink_shape *shape,
                                const struct tn_formats *formats, struct tni_encoder *encoder,
                                struct tn_err *err);
void tni_encoder_close(struct tni_encoder *encoder);
/* Rows [0, count) of the records into files of the part. TN_E_INVALID: a record does not fit and
 * errors=fail, or it is null and null.values=fail. */
enum tn_status tni_encoder_add(struct tni_encoder *encoder, struct tni_sink_part *part,
                               const struct tn_records *records, uint32_t count,
                               struct tn_err *err);
/* Packs what is left and sets name and checksum. */
void tni_encoder_finish(struct tni_encoder *encoder, struct tni_sink_part *part);
void tni_sink_part_clear(struct tni_sink_part *part); /* frees the files */

/* ---- sink_large.c: the spool, uploads in parts ---- */

#define TNI_SINK_HELD_SPOOL ((int64_t)16 << 20)

struct tni_sink;

int64_t tni_sink_file_bytes(const struct tni_sink_file *file); /* packed so far */
void tni_sink_file_shut(struct tni_sink_file *file);           /* its spool and upload */
int64_t tni_sink_held(const struct tni_sink *sink);            /* memory of the open files */
/* Moves bytes of large files out of memory when much is held, as far as there is room. */
void tni_sink_spool(struct tni_sink *sink);
/* A closed file under `key`, in parts. Goes on with what an earlier try began. */
enum tn_status tni_sink_put_large(struct tni_sink *sink, struct tni_sink_file *file,
                                  const char *key, struct tn_err *err);
/* The key is taken. *ret_same: by these bytes. Else it may be replaced, or TN_E_EXISTS. */
enum tn_status tni_sink_settle(struct tni_sink *sink, const struct tni_sink_file *file,
                               const char *key, bool *ret_same, struct tn_err *err);

/* ---- sink_record.c: the record in the sink store ---- */

enum tni_cut_stage { TNI_CUT_NONE, TNI_CUT_PLANNED, TNI_CUT_UPLOADED, TNI_CUT_COMMITTED };

struct tni_sink_record {
    uint8_t log_id[16];
    int64_t epoch, version; /* next version of the table log */
    uint32_t positions_count;
    int64_t *positions; /* by partition: committed */
    enum tni_cut_stage stage;
    struct tn_table_entry cut; /* ranges, ends of topics; files once UPLOADED */
};
void tni_sink_record_print(const struct tni_sink_record *record, struct tn_buf *buf);
enum tn_status tni_sink_record_parse(struct tn_str text, struct tn_arena *arena,
                                     struct tni_sink_record *ret_record, struct tn_err *err);

/* ---- one sink ---- */

struct tni_sink_counts {
    int64_t rows, files, bytes, cuts, bad, notices, retries;
    int64_t committed_ms;
};

struct tni_sink_metrics {
    struct tn_metric *rows, *files, *bytes, *cuts, *bad, *notices, *errors, *lag, *lag_ms, *upload;
};

struct tni_sink_files_cache { /* under its own lock; for system.files */
    pthread_mutex_t lock;
    struct tn_arena arena;
    int64_t next;
    uint32_t count, cap;
    struct tni_cached_file {
        int64_t version, committed_ms;
        struct tn_table_file file;
    } * items;
};

struct tni_sink {
    struct tn_wake wake; /* first: signalled by the log */
    struct tn_sinks *sinks;
    struct tni_sink *next;
    char *name;
    pthread_t thread;
    bool has_thread;
    int users; /* callers at work on it; under the list's lock */

    pthread_mutex_t lock; /* guards what follows up to the line */
    pthread_cond_t cond, idle;
    struct tn_sink_spec *wanted; /* newest spec; owned */
    bool is_woken, is_stopping, is_dropped;
    int64_t flush_wanted, flush_done; /* counters of tn_sinks_flush */
    enum tn_sink_state state;
    struct tni_sink_counts counts;
    int64_t open_rows, open_bytes, lag_records, lag_since_ns;
    int64_t shown_epoch, shown_version;
    uint32_t recent_count;
    struct tn_sink_recent recent[TN_SINK_RECENT_MAX];
    char error[TN_ERR_MESSAGE_MAX];
    /* ---- the thread's own ---- */
    struct tn_sink_spec *spec; /* in force */
    struct tn_arena arena;     /* of the spec in force */
    struct tni_sink_shape shape;
    struct tni_encoder encoder;
    struct tn_object_store *store;
    char root[TN_OBJECT_KEY_MAX + 1];
    struct tn_topic topic;
    struct tn_log_reader *reader;
    struct tni_sink_part *parts;
    uint32_t parts_count, turn;
    int64_t epoch, version;
    bool is_open, is_spec_new; /* is_spec_new: the table's meta may differ from the log's */
    /* the cut under way */
    enum tni_cut_stage stage;
    struct tn_arena cut_arena;
    struct tn_table_entry cut;
    bool *is_cut;                   /* by partition: belongs to the cut */
    bool is_rebuilding, is_adopted; /* adopted: another process made the cut and counted it */
    uint32_t uploads_done;
    bool *is_uploaded;    /* by file of the cut */
    int64_t meta_version; /* the table's meta is ours as of this version; −1 = not yet written */
    int failures;         /* in a row */
    int webhook_failures; /* of this notice */
    struct tni_sink_metrics metrics;
    struct tni_sink_files_cache cache;
};

struct tn_sinks {
    struct tn_sinks_config config;
    pthread_mutex_t lock; /* list and users */
    pthread_cond_t unused;
    struct tni_sink *list;
    bool is_started;
    atomic_uint spool_number;
};

/* sink_run.c */
void *tni_sink_main(void *arg);
bool tni_sink_is_stopping(void *sink); /* a struct tni_sink. @thread any */
void tni_sink_wait(struct tni_sink *sink,
                   int64_t ms); /* until woken, stopped or `ms` have passed */
/* sink_open.c: topic, store, record, table log → positions, epoch, the cut that was under way. */
enum tn_status tni_sink_recover(struct tni_sink *sink, struct tn_err *err);
void tni_sink_release(struct tni_sink *sink);
/* sink_sweep.c: removes unfinished uploads and, after a FENCE of ours, files of lower epochs that
 * no entry will name. Positions are those of the log. */
enum tn_status tni_sink_sweep(struct tni_sink *sink, bool is_take_over, struct tn_err *err);
/* Does anything follow an entry? */
bool tni_sink_has_notices(const struct tni_sink *sink);
/* sink_commit.c: begins a cut of the parts marked in is_cut; goes on with it. TN_AGAIN never. */
enum tn_status tni_sink_cut_begin(struct tni_sink *sink, struct tn_err *err);
enum tn_status tni_sink_cut_step(struct tni_sink *sink, struct tn_err *err);
enum tn_status tni_sink_save(struct tni_sink *sink, struct tn_err *err);
/* Applies one entry of the table log: positions, version. TN_E_FENCED: another writer is there. */
enum tn_status tni_sink_apply(struct tni_sink *sink, const struct tn_table_entry *entry,
                              struct tn_err *err);
/* The table's meta as an entry carries it. */
const struct tn_table_meta *tni_sink_meta(struct tni_sink *sink, struct tn_arena *arena);
/* sink_notify.c: notices and dead letters of the committed cut. */
enum tn_status tni_sink_notice_begin(struct tni_sink *sink, struct tn_err *err);
enum tn_status tni_sink_notice_run(struct tni_sink *sink, struct tn_err *err);

#endif
