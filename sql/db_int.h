/* Inside the database: one change of the catalog at a time, prepared against a snapshot, then made
 * durable.
 *
 * A change is applied to a copy of the catalog and collects what else must happen (topics, queries
 * of the engine). tni_change_commit does it in the order that survives a crash: create topics
 * (repeatable) → append the record → publish the snapshot → tell the engine. Replay at start
 * applies records without effects and adds what is left.
 *
 * Ownership: a change borrows the statement's arena. @thread the writer holds db->ddl_lock
 */
#ifndef TN_SQL_DB_INT_H
#define TN_SQL_DB_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "sql/bind.h"
#include "sql/catalog_int.h"
#include "sql/catalog_record.h"
#include "sql/db.h"
#include "sql/exec.h"
#include "sql/plan_stream.h"
#include "sql/with.h"

#define TNI_EFFECTS_MAX 4096

/* Which pipeline file wrote to the shared catalog, and the newest version by it. */
#define TNI_FILES_MAX 64
struct tni_file_mark {
    uint64_t file; /* hash of its text; 0 = none */
    int64_t version;
};

struct tn_db {
    struct tn_db_config config;
    pthread_mutex_t ddl_lock;         /* one writer */
    pthread_mutex_t lock;             /* guards `catalog` */
    const struct tn_catalog *catalog; /* newest snapshot, one reference */
    struct tni_sqlite_pool *pool;
    struct tni_zones *zones;
    struct tni_query_list *_Atomic queries;    /* of Trino clients; NULL = none */
    struct tni_file_mark files[TNI_FILES_MAX]; /* guarded by ddl_lock */
    struct tn_members *_Atomic members;        /* other processes; NULL = none */
    _Atomic uint64_t push_next;                /* ids of push queries */
    _Atomic uint64_t insert_next;              /* partitions of rows without key */
};

enum tni_effect_kind {
    TNI_EFFECT_TOPIC,       /* create topic, before the record */
    TNI_EFFECT_PLAN_TOPICS, /* create the topics of a plan, before the record */
    TNI_EFFECT_ADD,         /* after it: */
    TNI_EFFECT_REPLACE,
    TNI_EFFECT_DROP,
    TNI_EFFECT_PAUSE,
    TNI_EFFECT_RESUME,
    TNI_EFFECT_TOPIC_DELETE,
    TNI_EFFECT_SINK_PUT,
    TNI_EFFECT_SINK_DROP
};

struct tni_effect {
    enum tni_effect_kind kind;
    struct tn_plan *plan; /* borrowed from an entry of the new catalog */
    const char *query_id, *topic;
    struct tn_sink_spec *sink; /* borrowed from an entry of the new catalog */
    int32_t partitions, replicas;
    enum tn_cleanup cleanup;
    int64_t retention_ms;
};

/* Topics that statements before this one in the same script will create. */
struct tni_topics {
    struct {
        const char *name;
        int32_t partitions;
    } items[TNI_EFFECTS_MAX];
    size_t count;
};

struct tni_change {
    struct tn_db *db;
    struct tn_arena *arena;
    const struct tn_session *session;
    struct tn_catalog *catalog; /* being built; owned until committed */
    const struct tn_catalog
        *actual;               /* wanted state: ids of objects that exist already; else NULL */
    struct tni_topics *topics; /* may be NULL */
    struct tni_record record;
    struct tni_effect *effects;
    size_t effects_count;
    bool is_replay; /* the record decides what the log answered */
    bool is_noop;   /* IF NOT EXISTS, same again */
    const char *message;
    const char *undo; /* statement that takes it back when the engine refuses it; NULL = none */
    bool is_durable;  /* the record is written: it can only be undone by another one */
};

/* db_change.c */
enum tn_status tni_change_begin(struct tn_db *db, const struct tn_catalog *from,
                                const struct tn_session *session, struct tn_arena *arena,
                                struct tn_str statement, struct tni_change *ret_change,
                                struct tn_err *err);
void tni_change_release(struct tni_change *change);
/* A change that another process made durable: published here, with its effects. */
void tni_change_adopt(struct tni_change *change);
enum tn_status tni_change_commit(struct tni_change *change, struct tn_err *err);
/* After a failed commit: when it was durable already, run its undo statement. */
void tni_change_undo(struct tni_change *change);
struct tni_effect *tni_change_effect(struct tni_change *change, enum tni_effect_kind kind);
enum tn_status tni_change_topic_find(void *ctx, const char *name, int32_t *ret_partitions,
                                     struct tn_err *err);
/* The record of `version` was written for a pipeline file (0: for none). */
void tni_file_note(struct tn_db *db, uint64_t file, int64_t version);
/* Has this file been applied, and has the shared catalog changed since? */
bool tni_file_is_old(const struct tn_db *db, uint64_t file);
/* Dispatch of everything that changes the catalog. */
bool tni_is_ddl(const struct tn_ast_stmt *stmt);
enum tn_status tni_change_apply(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                struct tn_err *err);
void tni_publish(struct tn_db *db, struct tn_catalog *catalog); /* takes the reference */

/* db_decl.c: CREATE STREAM, TABLE with columns; WITH properties */
enum tn_status tni_apply_declare(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                 struct tn_err *err);
enum tn_status tni_apply_alter(struct tni_change *change, const struct tn_ast_alter *alter,
                               struct tn_err *err);
enum tn_status tni_props_fill(struct tni_change *change, const struct tn_ast_props *props,
                              unsigned where, struct tni_with *with, struct tn_err *err);
/* Upper case unless quoted, as ksqlDB names the topic of an object. */
const char *tni_default_topic(struct tn_arena *arena, const struct tn_ident *name);
/* DROP STREAM|TABLE "name", quotes doubled. */
const char *tni_drop_text(struct tn_arena *arena, bool is_table, struct tn_str name);
/* Where a stream or table of this name lives; refuses zones and system schemas. */
enum tn_status tni_new_name(struct tni_change *change, const struct tn_ast_name *name,
                            struct tn_str *ret_schema, struct tn_str *ret_name, struct tn_err *err);
/* An object of that name is there: fails, or is_noop for IF NOT EXISTS; *ret_old for OR REPLACE. */
enum tn_status tni_check_exists(struct tni_change *change, const struct tn_ast_create *create,
                                struct tn_str schema_name, struct tn_str name,
                                const struct tn_object **ret_old, struct tn_err *err);
/* (Re)make the internal query that keeps the store of a declared table. */
enum tn_status tni_materialize(struct tni_change *change, struct tni_entry *entry,
                               const struct tn_object *old, struct tn_err *err);
struct tni_entry *tni_object_entry(const struct tn_object *object);

/* db_ddl.c: AS SELECT, INSERT … SELECT, views, schemas, types, drop, control */
enum tn_status tni_apply_create_as(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                   struct tn_err *err);
enum tn_status tni_apply_insert_select(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                       struct tn_err *err);
/* db_drop.c */
enum tn_status tni_apply_drop(struct tni_change *change, const struct tn_ast_drop *drop,
                              struct tn_err *err);
enum tn_status tni_apply_control(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                 struct tn_err *err);

/* db_decl.c: a property's value as text. */
enum tn_status tni_prop_text(struct tni_change *change, const struct tn_ast_prop *prop,
                             struct tn_str *ret_text, struct tn_err *err);

/* sink_ddl.c */
enum tn_status tni_apply_create_sink(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                     struct tn_err *err);
enum tn_status tni_apply_alter_sink(struct tni_change *change, const struct tn_ast_alter *alter,
                                    struct tn_err *err);
enum tn_status tni_apply_drop_sink(struct tni_change *change, const struct tn_ast_drop *drop,
                                   struct tn_err *err);
enum tn_status tni_apply_pause_sink(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                    struct tn_err *err);
/* Wanted state: same source, table, place and properties. */
bool tni_sink_same(const struct tn_catalog_sink *a, const struct tn_catalog_sink *b);
/* First sink that reads the object, or writes the zone table; NULL = none. */
const struct tn_catalog_sink *tni_sink_of(const struct tn_catalog *catalog,
                                          const struct tn_object *object);
/* Sinks of the catalog at start. */
enum tn_status tni_sinks_start(struct tn_db *db, struct tn_err *err);

/* db_replace.c: may the running query go on under the new plan? The error names the difference. */
enum tn_status tni_replace_check(const struct tn_plan *from, const struct tn_plan *to,
                                 struct tn_err *err);
enum tn_status tni_decl_replace_check(const struct tn_object *from, const struct tn_object *to,
                                      struct tn_err *err);
bool tni_plan_same(const struct tn_plan *a, const struct tn_plan *b);
bool tni_object_same(const struct tn_object *a, const struct tn_object *b);

/* db_insert.c */
enum tn_status tni_insert_values(struct tn_db *db, const struct tn_catalog *catalog,
                                 struct tn_session *session, const struct tn_ast_insert *insert,
                                 struct tn_budget *budget, struct tn_arena *arena,
                                 struct tn_rows *rows, struct tn_err *err);
/* db_push.c */
enum tn_status tni_push_run(struct tn_db *db, const struct tn_catalog *catalog,
                            struct tn_session *session, const struct tn_ast_stmt *stmt,
                            struct tn_budget *budget, struct tn_arena *arena, struct tn_rows *rows,
                            struct tn_err *err);
/* Bound objects of a query, each once (fresh=1). */
void tni_query_objects(const struct tn_query *query,
                       void (*each)(void *ctx, const struct tn_object *object), void *ctx);

/* db_decl.c: the topic of a declaration, made when it is missing. */
enum tn_status tni_decl_topic_ensure(struct tn_db *db, const struct tn_topic_decl *decl,
                                     struct tn_err *err);

/* admin.c */
/* One row with one column `message`. */
enum tn_status tni_message(struct tn_rows *rows, struct tn_arena *arena, const char *message,
                           struct tn_err *err);
/* One row with one column `rows`. */
enum tn_status tni_row_count(struct tn_rows *rows, struct tn_arena *arena, int64_t count,
                             struct tn_err *err);
enum tn_status tni_admin_run(struct tn_db *db, const struct tn_catalog *catalog,
                             struct tn_session *session, const struct tn_ast_stmt *stmt,
                             struct tn_budget *budget, struct tn_arena *arena, struct tn_rows *rows,
                             struct tn_err *err);
void tni_exec_init(struct tn_db *db, const struct tn_catalog *catalog, struct tn_budget *budget,
                   struct tn_arena *arena, struct tni_exec_ctx *ret_ctx);
enum tn_status tni_refuse_later(const struct tn_ast_stmt *stmt, struct tn_err *err);

/* session.c */
/* Text of a prepared statement; NOT_FOUND names it. */
enum tn_status tni_prepared_text(const struct tn_session *session, struct tn_str name,
                                 struct tn_str *ret_text, struct tn_err *err);
/* "CREATE TABLE"; NULL for statements that answer rows. Static. */
const char *tni_update_type(const struct tn_ast_stmt *stmt);
struct tni_session_property {
    const char *name, *deflt, *type, *help;
};
extern const struct tni_session_property tni_session_properties[];
extern const size_t tni_session_properties_count;
/* Its value now, in `buf`. */
const char *tni_session_value(const struct tn_session *session,
                              const struct tni_session_property *property, const char *server_reset,
                              char *buf, size_t size);

#endif
