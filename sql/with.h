/* Properties of WITH (…): one option table for every statement that takes them (streaming
 * statements of ksqlDB, and ours). The table is parser, validator and documentation; each row says
 * in which statements it may stand.
 *
 * Ownership: strings live in the arena given to tni_with_set. @thread any
 */
#ifndef TN_SQL_WITH_H
#define TN_SQL_WITH_H

#include "stream/base/opt.h"
#include "stream/format.h"
#include "stream/plan.h"

/* Statements, as bits of struct tn_opt.flags above those of enum tn_opt_flags. */
enum tni_with_where {
    TNI_WITH_STREAM = 1u << 16, /* CREATE STREAM (columns) */
    TNI_WITH_TABLE = 1u << 17,  /* CREATE TABLE (columns) */
    TNI_WITH_CSAS = 1u << 18,   /* CREATE STREAM … AS SELECT */
    TNI_WITH_CTAS = 1u << 19,   /* CREATE TABLE … AS SELECT */
    TNI_WITH_INSERT = 1u << 20  /* INSERT INTO … SELECT */
};
#define TNI_WITH_DDL (TNI_WITH_STREAM | TNI_WITH_TABLE)
#define TNI_WITH_AS  (TNI_WITH_CSAS | TNI_WITH_CTAS)
#define TNI_WITH_ALL (TNI_WITH_DDL | TNI_WITH_AS)

#define TNI_WITH_MAX 64

struct tni_with {
    const char *kafka_topic, *format, *key_format, *value_format;
    int64_t partitions, replicas, retention_ms;
    const char *wrap_single_value; /* "true", "false", "" = not given */
    const char *timestamp, *timestamp_format;
    const char *window_type, *window_size;
    const char *key_delimiter, *value_delimiter;
    const char *cleanup_policy;
    /* ours */
    bool is_global;
    const char *store;
    const char *ingest_path, *ingest_text, *ingest_defaults, *ingest_event;
    int64_t ingest_status;
    const char *on_error, *emit;
    int64_t emit_interval_ms;
    const char *query_id;
    const char *refused;       /* where rows with `unsupported` point */
    bool is_set[TNI_WITH_MAX]; /* by index of the table */
};

extern const struct tn_opts tni_with_opts;

void tni_with_init(struct tni_with *with, struct tn_arena *arena);
/* Set one property of a statement of kind `where`; the error names the property, its nearest name,
 * or the statements it belongs to. */
enum tn_status tni_with_set(struct tni_with *with, unsigned where, struct tn_str name,
                            struct tn_str value, struct tn_arena *arena, struct tn_err *err);
bool tni_with_is_set(const struct tni_with *with, const char *name);

/* Format by name, or an error that lists them. */
enum tn_status tni_with_format(const struct tn_formats *formats, const char *name,
                               const char *property, const struct tn_format **ret_format,
                               struct tn_err *err);
/* What depends on the columns: WRAP_SINGLE_VALUE, TIMESTAMP, TIMESTAMP_FORMAT. decl has its schema
 * and formats. */
enum tn_status tni_with_columns(const struct tni_with *with, struct tn_topic_decl *decl,
                                struct tn_arena *arena, struct tn_err *err);
/* KEY_DELIMITER and VALUE_DELIMITER, for DELIMITED formats only. */
enum tn_status tni_with_delimiters(const struct tni_with *with, struct tn_topic_decl *decl,
                                   struct tn_err *err);
/* One character, or TAB, SPACE. */
enum tn_status tni_with_delimiter(const char *property, const char *text, char *ret_delimiter,
                                  struct tn_err *err);
/* "30 SECONDS" → 30000. */
enum tn_status tni_with_duration(const char *property, const char *text, int64_t *ret_ms,
                                 struct tn_err *err);
/* Milliseconds of a time unit by name, singular or plural, case-blind; 0 = no such unit. */
int64_t tni_unit_ms(struct tn_str unit);

#endif
