/* The database: catalog + engine + executors behind one call. HTTP endpoints, the shell, the
 * start-up file and the Trino protocol all run statements through tn_db_run.
 * @thread any; one statement runs on the caller's thread
 */
#ifndef TN_SQL_DB_H
#define TN_SQL_DB_H

#include "sql/catalog.h"
#include "sql/result.h"
#include "stream/base/clock.h"
#include "stream/base/metrics.h"
#include "stream/catalog_store.h"
#include "stream/engine.h"

struct tn_db;
struct tni_option_set;   /* sql/exec.h */
struct tni_query_list;   /* the same */
struct tn_object_stores; /* connectors/object_url.h */
struct tn_sinks;         /* connectors/sink.h */

struct tn_db_config {
    const char *application_id;
    struct tn_engine *engine;
    struct tn_log *log;
    struct tn_catalog_store *catalog_store;
    struct tn_clock *clock;
    struct tn_metrics *metrics;
    const struct tn_formats *formats;
    int64_t timeout_ms, memory_bytes, rows_max; /* sql.timeout.ms, sql.memory.bytes, result limit */
    int64_t cache_bytes;                        /* sql.cache.bytes */
    int threads_count;                          /* sql.threads */
    bool is_still;                              /* queries are restored, but read nothing */
    int default_partitions;                     /* PARTITIONS when a statement names none */
    /* A declared topic that is absent is an error named TOPIC_NOT_FOUND unless PARTITIONS is given:
     * it is somebody else's to make (a Kafka cluster). Otherwise it is made. */
    bool is_topic_awaited;
    bool is_latest;                       /* auto.offset.reset=latest */
    bool is_identifiers_ksql;             /* identifiers=ksql */
    struct tn_object_stores *stores;      /* of zone tables; NULL: none can be read */
    struct tn_sinks *sinks;               /* NULL: sinks are declared but do not run */
    const char *lake_dir;                 /* folder of zones without location; NULL or "" = none */
    const struct tni_option_set *options; /* system.options, SHOW PROPERTIES; may be NULL */
    size_t options_count;
};

enum tn_status tn_db_open(
    const struct tn_db_config *config, struct tn_db **ret_db,
    struct tn_err *err); /* replays the catalog, adds its queries to the engine */
void tn_db_close(struct tn_db *db);

struct tn_prepared { /* PREPARE name FROM text */
    struct tn_str name, text;
};

struct tn_session {
    char catalog[64], schema[64]; /* "tarn", "default" */
    const char *user;
    char time_zone[64];           /* "" = UTC */
    int64_t max_run_ms;           /* session property query_max_run_time; 0 = none */
    struct tn_prepared *prepared; /* for EXECUTE and DESCRIBE INPUT, OUTPUT; the caller's */
    uint32_t prepared_count;
    const char *update_type; /* of the last statement: "CREATE TABLE"; NULL when it was a query */
    int64_t update_count;    /* rows it wrote; −1 = does not count */
    size_t statement_bytes_max; /* 0 = 64 KiB, at most TN_PARSE_BYTES_MAX */
    bool is_presto;      /* an old client of Presto: SHOW COLUMNS has `timestamp`, no precision */
    bool is_read_only;   /* GET: refuses everything but queries */
    int offset_reset;    /* SET 'auto.offset.reset': 0 = the server's, 1 = earliest, 2 = latest */
    uint32_t vars_count; /* DEFINE v = 'x', used as ${v} */
    struct tn_session_var {
        char name[48], value[208];
    } vars[16];
};
void tn_session_init(struct tn_session *session);
/* SET SESSION name = value. INVALID_SESSION_PROPERTY for a name or value that is none. */
enum tn_status tn_session_property(struct tn_session *session, struct tn_str name,
                                   struct tn_str value, struct tn_err *err);

/* What a statement was, for status codes and logs. */
enum tn_statement_class { TN_STMT_QUERY, TN_STMT_PUSH, TN_STMT_DDL, TN_STMT_INSERT, TN_STMT_ADMIN };

/* Run one statement (a trailing ';' is fine). A push query runs until LIMIT, cancel or error. */
enum tn_status tn_db_run(struct tn_db *db, struct tn_session *session, struct tn_str text,
                         struct tn_budget *budget, struct tn_rows *rows,
                         enum tn_statement_class *ret_class, struct tn_err *err);

/* Wanted state (tarn run FILE): the whole script is checked first, then applied, or nothing is.
 * ret_warnings gets one line per object that the file no longer names (is_prune: dropped instead).
 */
enum tn_status tn_db_apply(struct tn_db *db, struct tn_str script, bool is_prune,
                           struct tn_buf *ret_warnings, struct tn_err *err);

/* Wait until everything acknowledged before this call is visible in the tables `text` reads
 * (fresh=1). */
enum tn_status tn_db_wait_fresh(struct tn_db *db, struct tn_session *session, struct tn_str text,
                                struct tn_budget *budget, struct tn_err *err);

/* Applies what other processes of the application wrote to the shared catalog since; nothing with a
 * catalog of this process alone. A statement whose effect fails here is logged, the others go on. A
 * process that cannot apply two versions or more takes no tasks until it can.
 * @thread any */
enum tn_status tn_db_follow(struct tn_db *db, struct tn_err *err);

/* Rows of system.runtime.queries; NULL = none. */
void tn_db_set_queries(struct tn_db *db, struct tni_query_list *queries);

/* Immutable snapshot of the catalog; release with tn_catalog_unref. */
const struct tn_catalog *tn_db_catalog(struct tn_db *db);

#endif
