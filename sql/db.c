/* The database: opening (replay of the catalog), snapshots, and running one statement. Contract:
 * sql/db.h. */
#include "sql/db_int.h"
#include "connectors/wait.h"
#include "sql/members_int.h"
#include "sql/zone_files.h"
#include "sql/zone_write.h"

#include <stdio.h>

#include "sql/exec_sqlite.h"
#include "sql/parse.h"
#include "sql/system_tables.h"
#include "stream/base/mem.h"

#define STATEMENT_ARENA_MAX ((size_t)64 << 20)
#define IDLE_CONNECTIONS    4

/* ---- opening ---- */

struct replay {
    struct tn_db *db;
    struct tn_session session;
    bool is_live;   /* a process that runs already: effects too */
    int64_t newest; /* version that was read; after a failure the rest is only counted */
    enum tn_status failed;
    struct tn_err why;
};

static enum tn_status replay_statement(struct tn_db *db, struct tn_arena *arena,
                                       const struct tni_record *record, struct tn_session *session,
                                       bool has_effects, struct tn_err *err)
{
    struct tn_parse_opts opts = {.bytes_max = TN_PARSE_BYTES_MAX,
                                 .is_identifiers_ksql = record->is_exact};
    struct tn_ast_stmt *stmt;
    struct tni_change change;
    TN_TRY(tn_parse_statement(record->statement, &opts, arena, &stmt, err));
    snprintf(session->schema, sizeof session->schema, "%s", record->schema_name);
    TN_TRY(tni_change_begin(db, db->catalog, session, arena, record->statement, &change, err));
    change.record = *record;
    change.is_replay = true;
    if (record->store_first > tni_catalog_next_store(change.catalog))
        tni_catalog_set_next_store(change.catalog, record->store_first);
    enum tn_status st = tni_change_apply(&change, stmt, err);
    if (tn_failed(st)) {
        tni_change_release(&change);
        return st;
    }
    if (has_effects)
        tni_change_adopt(&change);
    else
        tni_publish(db, change.catalog);
    return TN_OK;
}

static enum tn_status replay_record(void *ctx, int64_t version, struct tn_str bytes,
                                    struct tn_err *err)
{
    struct replay *replay = ctx;
    struct tn_db *db = replay->db;
    struct tn_arena arena;
    struct tni_record record;
    tn_arena_init(&arena, STATEMENT_ARENA_MAX);
    enum tn_status st = TN_OK;
    if (version != tn_catalog_version(db->catalog) + 1)
        st = tn_err_set(err, TN_E_CORRUPT, "version %lld of the catalog is missing",
                        (long long)tn_catalog_version(db->catalog) + 1);
    if (!tn_failed(st))
        st = tni_record_decode(bytes, &arena, &record, err);
    if (!tn_failed(st) && record.is_exact != db->config.is_identifiers_ksql)
        st = tn_err_set(err, TN_E_INVALID,
                        "this catalog was made with identifiers=%s; the option cannot change",
                        record.is_exact ? "ksql" : "tarn");
    if (!tn_failed(st))
        st = replay_statement(db, &arena, &record, &replay->session, replay->is_live, err);
    if (!tn_failed(st))
        tni_file_note(db, record.file, version);
    tn_arena_release(&arena);
    if (tn_failed(st))
        tn_err_prefix(err, "catalog version %lld", (long long)version);
    return st;
}

/* Everything that is left in the catalog: its topics are there, its queries run. */
static enum tn_status start_queries(struct tn_db *db, struct tn_err *err)
{
    struct tn_engine *engine = db->config.engine;
    for (size_t i = 0;; i++) {
        const struct tn_object *object = tn_catalog_at(db->catalog, i);
        if (!object)
            break;
        bool is_declared = object->kind == TN_OBJ_STREAM || object->kind == TN_OBJ_TABLE;
        if (is_declared)
            TN_TRY(tni_decl_topic_ensure(db, &object->decl, err));
    }
    for (size_t i = 0;; i++) {
        const struct tn_catalog_query *query = tni_catalog_query_at(db->catalog, i);
        if (!query)
            return tni_sinks_start(db, err);
        TN_TRY(tni_plan_topics(query->plan, db->config.log, 0, -1, err));
        if (!engine)
            continue;
        TN_TRY(tn_engine_add(engine, query->plan, err));
        if (query->is_paused || db->config.is_still)
            TN_TRY(tn_engine_pause(engine, query->id, true, err));
    }
}

enum tn_status tn_db_open(const struct tn_db_config *config, struct tn_db **ret_db,
                          struct tn_err *err)
{
    enum tn_status st;
    struct tn_db *db = tn_alloc(sizeof *db);
    size_t system_count;
    const struct tn_object *const *system = tn_system_objects(&system_count);
    db->config = *config;
    if (db->config.default_partitions < 1)
        db->config.default_partitions = 1;
    pthread_mutex_init(&db->ddl_lock, NULL);
    pthread_mutex_init(&db->lock, NULL);
    db->catalog = tni_catalog_new(config->is_identifiers_ksql, system, system_count);
    db->zones = tni_zones_new(&(struct tni_zones_config){.stores = config->stores,
                                                         .clock = config->clock,
                                                         .metrics = config->metrics,
                                                         .cache_bytes = config->cache_bytes,
                                                         .threads_count = config->threads_count,
                                                         .is_watching = true});
    struct replay replay = {.db = db};
    tn_session_init(&replay.session);
    TN_GOTO(tni_sqlite_pool_open(IDLE_CONNECTIONS, &db->pool, err));
    TN_GOTO(config->catalog_store->each(config->catalog_store, replay_record, &replay, err));
    TN_GOTO(start_queries(db, err));
    *ret_db = db;
    return TN_OK;
fail:
    tn_db_close(db);
    return st;
}

static enum tn_status follow_record(void *ctx, int64_t version, struct tn_str bytes,
                                    struct tn_err *err)
{
    struct replay *replay = ctx;
    (void)err;
    replay->newest = version;
    if (!tn_failed(replay->failed))
        replay->failed = replay_record(ctx, version, bytes, &replay->why);
    return TN_OK;
}

/* A process that cannot apply what the others have (a statement of a newer tarn, say) may work on
 * while it lacks one version; with more it works on another application than they do. */
static void tell_behind(struct tn_db *db, const struct replay *replay)
{
    static const struct tn_metric_desc desc = {
        "tarn_catalog_versions_behind", TN_METRIC_GAUGE, "versions", NULL,
        "Versions of the shared catalog that this process could not apply"};
    int64_t applied = tn_catalog_version(db->catalog);
    char text[TN_ERR_MESSAGE_MAX];
    snprintf(text, sizeof text,
             "version %lld of the catalog is applied here, %lld is the newest: %.250s",
             (long long)applied, (long long)replay->newest, replay->why.message);
    if (db->config.metrics)
        tn_metric_set(tn_metric_get(db->config.metrics, &desc, NULL), replay->newest - applied);
    if (db->config.engine)
        tn_engine_withhold(db->config.engine, replay->newest - applied > 1 ? text : NULL);
}

static enum tn_status do_follow(struct tn_db *db, struct tn_err *err)
{
    struct tn_catalog_store *store = db->config.catalog_store;
    int64_t applied = tn_catalog_version(db->catalog);
    struct replay replay = {
        .db = db, .is_live = true, .newest = applied, .failed = TN_OK, .why = TN_ERR_INIT};
    tn_session_init(&replay.session);
    TN_TRY(store->follow(store, applied, follow_record, &replay, err));
    tell_behind(db, &replay);
    if (tn_failed(replay.failed) && err)
        *err = replay.why;
    return replay.failed;
}

enum tn_status tn_db_follow(struct tn_db *db, struct tn_err *err)
{
    if (!db->config.catalog_store->follow)
        return TN_OK;
    pthread_mutex_lock(&db->ddl_lock);
    enum tn_status st = do_follow(db, err);
    pthread_mutex_unlock(&db->ddl_lock);
    return st;
}

void tn_db_close(struct tn_db *db)
{
    if (!db)
        return;
    tni_sqlite_pool_close(db->pool);
    tni_zones_free(db->zones);
    tn_catalog_unref(db->catalog);
    pthread_mutex_destroy(&db->lock);
    pthread_mutex_destroy(&db->ddl_lock);
    tn_free(db);
}

void tn_db_set_queries(struct tn_db *db, struct tni_query_list *queries)
{
    atomic_store(&db->queries, queries);
}

const struct tn_catalog *tn_db_catalog(struct tn_db *db)
{
    pthread_mutex_lock(&db->lock);
    const struct tn_catalog *catalog = tn_catalog_ref(db->catalog);
    pthread_mutex_unlock(&db->lock);
    return catalog;
}

/* ---- one statement ---- */

struct running {
    struct tn_db *db;
    const struct tn_catalog *catalog;
    struct tn_session *session;
    struct tn_budget *budget;
    struct tn_rows *rows;
    struct tn_arena arena;
    struct tn_ast_stmt *stmt;
    bool is_prepared; /* inside EXECUTE */
    uint32_t params_count;
    struct tn_ast_expr *const *params;
};

void tni_exec_init(struct tn_db *db, const struct tn_catalog *catalog, struct tn_budget *budget,
                   struct tn_arena *arena, struct tni_exec_ctx *ret_ctx)
{
    *ret_ctx = (struct tni_exec_ctx){.engine = db->config.engine,
                                     .log = db->config.log,
                                     .catalog = catalog,
                                     .clock = db->config.clock,
                                     .metrics = db->config.metrics,
                                     .formats = db->config.formats,
                                     .application_id = db->config.application_id,
                                     .pool = db->pool,
                                     .zones = db->zones,
                                     .sinks = db->config.sinks,
                                     .budget = budget,
                                     .arena = arena,
                                     .options = db->config.options,
                                     .options_count = db->config.options_count,
                                     .queries = atomic_load(&db->queries),
                                     .members = atomic_load(&db->members)};
}

/* Holds the header back until the first rows, so that a query whose table is still being restored
 * can be run again. */
struct held_rows {
    struct tn_rows base; /* first: the executor calls it */
    struct tn_rows *rows;
    const struct tn_schema *schema;
    bool is_begun;
};

static enum tn_status held_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                   struct tn_err *err)
{
    (void)err;
    ((struct held_rows *)rows)->schema = schema;
    return TN_OK;
}

static enum tn_status held_begin(struct held_rows *held, struct tn_err *err)
{
    if (held->is_begun || !held->schema)
        return TN_OK;
    held->is_begun = true;
    return held->rows->columns(held->rows, held->schema, err);
}

static enum tn_status held_batch(struct tn_rows *rows, const struct tn_batch *batch,
                                 struct tn_err *err)
{
    struct held_rows *held = (struct held_rows *)rows;
    TN_TRY(held_begin(held, err));
    return held->rows->batch(held->rows, batch, err);
}

#define RESTORE_TRIES    5000 /* about 10 s */
#define RESTORE_SLEEP_NS 2000000

/* A table that was created or restored a moment ago: wait a little rather than fail. */
static enum tn_status exec_waiting(struct running *run, const struct tn_query *query,
                                   struct tn_err *err)
{
    struct held_rows held = {.base = {held_columns, held_batch}, .rows = run->rows};
    for (int tries = 0;; tries++) {
        struct tni_exec_ctx ctx;
        struct tn_err why = TN_ERR_INIT;
        tni_exec_init(run->db, run->catalog, run->budget, &run->arena, &ctx);
        enum tn_status st = tni_exec_query(&ctx, query, &held.base, &why);
        tni_exec_release(&ctx);
        if (!tn_failed(st))
            return held_begin(&held, err);
        if (st == TN_E_BUSY) /* before the look at the deadline, which says less than why */
            nanosleep(&(struct timespec){.tv_nsec = RESTORE_SLEEP_NS}, NULL);
        bool is_late = tries >= RESTORE_TRIES || ctx.is_hopeless ||
                       tn_failed(tn_budget_check(run->budget, NULL));
        if (st != TN_E_BUSY || held.is_begun || is_late) {
            if (err)
                *err = why;
            return st;
        }
    }
}

static enum tn_status run_query(struct running *run, const struct tn_ast_query *ast,
                                struct tn_err *err)
{
    struct tni_bind bind;
    struct tn_query *query;
    tni_bind_init(&bind, &run->arena, TN_RULES_QUERY, run->catalog, run->session,
                  tn_wall_ms(run->db->config.clock));
    bind.params = run->params;
    bind.params_count = run->params_count;
    TN_TRY(tni_bind_query(&bind, ast, &query, err));
    return exec_waiting(run, query, err);
}

static enum tn_status run_ddl(struct running *run, struct tn_err *err)
{
    struct tn_db *db = run->db;
    struct tni_change change;
    const char *location =
        tni_zone_drop_location(run->catalog, run->session, run->stmt, &run->arena);
    pthread_mutex_lock(&db->ddl_lock);
    enum tn_status st =
        tni_change_begin(db, db->catalog, run->session, &run->arena, run->stmt->text, &change, err);
    if (!tn_failed(st))
        st = tni_change_apply(&change, run->stmt, err);
    if (!tn_failed(st))
        st = tni_change_commit(&change, err);
    if (tn_failed(st))
        tni_change_undo(&change);
    pthread_mutex_unlock(&db->ddl_lock);
    const char *message = change.is_noop ? "nothing to do" : change.message;
    tni_change_release(&change);
    if (!tn_failed(st) && location)
        st = tni_zone_drop_files(db, location, run->budget, err);
    if (tn_failed(st))
        return st;
    return tni_message(run->rows, &run->arena, message, err);
}

static enum tn_status run_stmt(struct running *run, enum tn_statement_class *ret_class,
                               struct tn_err *err);

static enum tn_status run_prepared(struct running *run, enum tn_statement_class *ret_class,
                                   struct tn_err *err)
{
    const struct tn_ast_prepare *prepare = run->stmt->prepare;
    struct tn_parse_opts opts = {.bytes_max = run->session->statement_bytes_max,
                                 .is_identifiers_ksql = run->db->config.is_identifiers_ksql};
    struct tn_str text = prepare->text;
    if (run->is_prepared)
        return tni_not_supported(err, run->stmt->line, run->stmt->col,
                                 "EXECUTE inside EXECUTE is not supported");
    if (run->stmt->kind == TN_AS_EXECUTE_IMMEDIATE) {
        opts.start_line = prepare->text_line;
        opts.start_col = prepare->text_col;
    } else {
        TN_TRY(tni_prepared_text(run->session, prepare->name.text, &text, err));
    }
    run->is_prepared = true;
    run->params = prepare->args;
    run->params_count = prepare->args_count;
    TN_TRY(tn_parse_statement(text, &opts, &run->arena, &run->stmt, err));
    if (run->stmt->params_count != run->params_count)
        return tn_err_at(err, TN_E_INVALID, "INVALID_PARAMETER_USAGE", run->stmt->line,
                         run->stmt->col, "Incorrect number of parameters: expected %u but found %u",
                         run->stmt->params_count, run->params_count);
    return run_stmt(run, ret_class, err);
}

static enum tn_status check_read_only(const struct running *run, bool is_query, struct tn_err *err)
{
    if (!run->session->is_read_only || is_query)
        return TN_OK;
    return tn_err_at(err, TN_E_DENIED, "PERMISSION_DENIED", run->stmt->line, run->stmt->col,
                     "only queries are allowed here, not %s", tn_ast_stmt_text(run->stmt->kind));
}

static enum tn_status run_stmt(struct running *run, enum tn_statement_class *ret_class,
                               struct tn_err *err)
{
    struct tn_ast_stmt *stmt = run->stmt;
    bool is_query = stmt->kind == TN_AS_QUERY;
    bool is_push = is_query && stmt->query->emit != TN_AE_NONE;
    bool is_values = stmt->kind == TN_AS_INSERT && stmt->insert->query->kind == TN_AQ_VALUES;
    *ret_class = is_push            ? TN_STMT_PUSH
                 : is_query         ? TN_STMT_QUERY
                 : is_values        ? TN_STMT_INSERT
                 : tni_is_ddl(stmt) ? TN_STMT_DDL
                                    : TN_STMT_ADMIN;
    if (stmt->kind == TN_AS_EXECUTE_IMMEDIATE || stmt->kind == TN_AS_EXECUTE)
        return run_prepared(run, ret_class, err);
    run->session->update_type = tni_update_type(stmt);
    run->session->update_count = -1;
    bool is_reading = is_query || stmt->kind == TN_AS_SHOW || stmt->kind == TN_AS_DESCRIBE ||
                      stmt->kind == TN_AS_EXPLAIN || stmt->kind == TN_AS_PRINT;
    TN_TRY(check_read_only(run, is_reading, err));
    if (is_push)
        return tni_push_run(run->db, run->catalog, run->session, stmt, run->budget, &run->arena,
                            run->rows, err);
    if (is_query)
        return run_query(run, stmt->query, err);
    if (tni_zone_is_write(run->catalog, run->session, stmt)) {
        struct tni_zone_writing writing = {run->db,     run->catalog, run->session, stmt,
                                           run->budget, &run->arena,  run->rows};
        *ret_class = TN_STMT_INSERT;
        return tni_zone_write(&writing, err);
    }
    if (is_values)
        return tni_insert_values(run->db, run->catalog, run->session, stmt->insert, run->budget,
                                 &run->arena, run->rows, err);
    if (tni_is_ddl(stmt))
        return run_ddl(run, err);
    return tni_admin_run(run->db, run->catalog, run->session, stmt, run->budget, &run->arena,
                         run->rows, err);
}

static struct tn_str lookup_var(void *ctx, struct tn_str name)
{
    const struct tn_session *session = ctx;
    for (uint32_t i = 0; i < session->vars_count; i++)
        if (tn_str_eq_nocase(name, tn_str_of(session->vars[i].name)))
            return tn_str_of(session->vars[i].value);
    return (struct tn_str){0};
}

static enum tn_status parse_text(struct running *run, struct tn_str text, struct tn_err *err)
{
    struct tn_parse_opts opts = {.bytes_max = run->session->statement_bytes_max,
                                 .is_identifiers_ksql = run->db->config.is_identifiers_ksql};
    if (run->session->vars_count) {
        struct tn_buf buf;
        tn_buf_init(&buf, TN_PARSE_BYTES_MAX);
        enum tn_status st = tn_script_substitute(text, 1, 1, lookup_var, run->session, &buf, err);
        if (!tn_failed(st))
            text = tn_arena_str(&run->arena, tn_buf_str(&buf));
        tn_buf_release(&buf);
        TN_TRY(st);
    }
    return tn_parse_statement(text, &opts, &run->arena, &run->stmt, err);
}

enum tn_status tn_db_run(struct tn_db *db, struct tn_session *session, struct tn_str text,
                         struct tn_budget *budget, struct tn_rows *rows,
                         enum tn_statement_class *ret_class, struct tn_err *err)
{
    struct running run = {.db = db, .session = session, .budget = budget, .rows = rows};
    enum tn_statement_class class = TN_STMT_ADMIN;
    tn_arena_init(&run.arena, STATEMENT_ARENA_MAX);
    run.catalog = tn_db_catalog(db);
    enum tn_status st = parse_text(&run, text, err);
    if (!tn_failed(st))
        st = run_stmt(&run, &class, err);
    if (ret_class)
        *ret_class = class;
    tn_catalog_unref(run.catalog);
    tn_arena_release(&run.arena);
    return st;
}

/* ---- fresh=1 ---- */

#define FRESH_MAX        256
#define FRESH_WAIT_NS    50000000 /* then deadline and cancellation are looked at */
#define FRESH_ROUNDS_MAX 4u

/* Queries to wait for: those that fill a table read, and those that write to a topic read. */
struct fresh_ids {
    struct tn_arena *arena;
    const char *ids[FRESH_MAX], *topics[FRESH_MAX];
    size_t count, topics_count;
};

static bool fresh_has(const char *const *texts, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(texts[i], text))
            return true;
    return false;
}

static void fresh_add(void *ctx, const struct tn_object *object)
{
    struct fresh_ids *out = ctx;
    const char *id = object->query_id, *topic = object->decl.topic;
    if (id && !fresh_has(out->ids, out->count, id) && out->count < FRESH_MAX)
        out->ids[out->count++] = id;
    bool is_log = object->kind == TN_OBJ_STREAM || object->kind == TN_OBJ_TABLE;
    if (is_log && topic && !fresh_has(out->topics, out->topics_count, topic) &&
        out->topics_count < FRESH_MAX)
        out->topics[out->topics_count++] = topic;
}

static bool fresh_add_writer(void *ctx, const struct tn_query_info *info)
{
    struct fresh_ids *out = ctx;
    const struct tn_stage *stage = &info->plan->stages[info->plan->stages_count - 1];
    for (uint32_t i = 0; i < stage->nodes_count && out->count < FRESH_MAX; i++) {
        const struct tn_node *node = &stage->nodes[i];
        if (node->kind == TN_NODE_SINK &&
            fresh_has(out->topics, out->topics_count, node->decl->topic) &&
            !fresh_has(out->ids, out->count, info->plan->query_id))
            out->ids[out->count++] = tn_arena_strdup(out->arena, info->plan->query_id);
    }
    return true;
}

static enum tn_status fresh_loop(struct tn_fresh *fresh, struct tn_waiter *waiter,
                                 struct tn_budget *budget, struct tn_err *err)
{
    struct tn_buf lagging;
    tn_buf_init(&lagging, (size_t)1 << 16);
    enum tn_status st;
    for (;;) {
        tn_buf_reset(&lagging);
        st = tn_fresh_poll(fresh, &lagging);
        if (st != TN_AGAIN)
            break;
        struct tn_err why = TN_ERR_INIT;
        if (tn_failed(tn_budget_check(budget, &why))) {
            st = why.code;
            if (st == TN_E_TIMEOUT)
                tn_err_set(err, st, "still behind at the deadline: %s", tn_buf_cstr(&lagging));
            else if (err)
                *err = why;
            break;
        }
        (void)tn_waiter_wait(waiter, FRESH_WAIT_NS);
    }
    tn_buf_release(&lagging);
    return st;
}

static enum tn_status fresh_run(struct tn_db *db, const struct fresh_ids *ids,
                                struct tn_budget *budget, uint32_t *ret_hops, struct tn_err *err)
{
    struct tn_waiter waiter;
    struct tn_fresh *fresh = NULL;
    tn_waiter_init(&waiter);
    enum tn_status st =
        tn_fresh_open(db->config.engine, ids->ids, ids->count, &waiter.wake, &fresh, err);
    if (!tn_failed(st)) {
        *ret_hops = tn_fresh_hops(fresh);
        st = fresh_loop(fresh, &waiter, budget, err);
    }
    tn_fresh_free(fresh);
    tn_waiter_release(&waiter);
    return st;
}

/* With several processes one round covers one hop: what a stage elsewhere writes in this round is
 * an input of a stage here in the next. A round during which partitions moved, or some were
 * nobody's as far as is known, does not count: their process was not asked. */
static enum tn_status fresh_everywhere(struct tn_db *db, const struct fresh_ids *ids,
                                       struct tn_budget *budget, struct tn_err *err)
{
    struct tn_members *members = atomic_load(&db->members);
    uint32_t hops = 1, done = 0, others = 1;
    if (!members)
        return fresh_run(db, ids, budget, &hops, err);
    while (others && done < hops && done < FRESH_ROUNDS_MAX) {
        uint64_t before = tni_members_changes(members);
        TN_TRY(fresh_run(db, ids, budget, &hops, err));
        TN_TRY(tni_members_fresh(members, ids->ids, ids->count, budget, &others, err));
        if (!members->config.is_refusing && !tni_members_is_complete(members)) {
            tni_members_wait(members); /* who has them will be asked, too */
            others = 1;
        } else if (tni_members_changes(members) == before) {
            done++;
        }
        TN_TRY(tn_budget_check(budget, err));
    }
    return TN_OK;
}

enum tn_status tn_db_wait_fresh(struct tn_db *db, struct tn_session *session, struct tn_str text,
                                struct tn_budget *budget, struct tn_err *err)
{
    struct running run = {.db = db, .session = session, .budget = budget};
    struct fresh_ids ids = {.arena = &run.arena};
    tn_arena_init(&run.arena, STATEMENT_ARENA_MAX);
    run.catalog = tn_db_catalog(db);
    enum tn_status st = parse_text(&run, text, err);
    if (!tn_failed(st) && run.stmt->kind == TN_AS_QUERY && run.stmt->query->emit == TN_AE_NONE) {
        struct tni_bind bind;
        struct tn_query *query;
        tni_bind_init(&bind, &run.arena, TN_RULES_QUERY, run.catalog, session, 0);
        st = tni_bind_query(&bind, run.stmt->query, &query, err);
        if (!tn_failed(st))
            tni_query_objects(query, fresh_add, &ids);
        if (!tn_failed(st) && ids.topics_count)
            tn_engine_each_query(db->config.engine, fresh_add_writer, &ids);
        if (!tn_failed(st) && ids.count)
            st = fresh_everywhere(db, &ids, budget, err);
    }
    tn_catalog_unref(run.catalog);
    tn_arena_release(&run.arena);
    return st;
}
