/* Wanted state: a script against the catalog (tarn run FILE). Contract: sql/db.h.
 *
 * HOW IT WORKS. The script is first folded into a catalog of its own, starting from nothing
 * (`wanted`); objects that exist already keep their ids, so that equal definitions give equal
 * plans. Then wanted is compared with the catalog
 * (`actual`) object by object:
 *   - missing here: its statement is kept to be run;
 *   - equal: nothing to do;
 *   - different: its statement is run as OR REPLACE, whose rules may refuse it.
 * All statements to be run are tried on copies of the catalog before the first one is made durable,
 * so a script is applied whole or not at all. What the catalog has and the script does not is
 * warned about, or dropped (prune).
 */
#include "sql/db_int.h"

#include "sql/parse.h"
#include "sql/system_tables.h"
#include "stream/base/hash.h"

#define SCRIPT_BYTES_MAX ((size_t)4 << 20)

struct step {
    const struct tn_ast_stmt *stmt;
    struct tn_session session; /* as it was before the statement */
    bool is_replace;
};

struct apply {
    struct tn_db *db;
    struct tn_arena arena;
    struct tn_session session;
    struct tn_ast_script script;
    const struct tn_catalog **catalogs; /* every version made here; keeps plans of effects alive */
    size_t catalogs_count;
    const struct tn_catalog *wanted;
    struct tni_topics *topics;
    struct step *steps;
    size_t steps_count;
    struct tn_buf *warnings;
    uint64_t file; /* hash of the script */
};

static void keep(struct apply *apply, const struct tn_catalog *catalog)
{
    apply->catalogs[apply->catalogs_count++] = catalog;
}

static enum tn_status at_statement(enum tn_status st, const struct tn_ast_stmt *stmt,
                                   struct tn_err *err)
{
    if (tn_failed(st) && err && !err->line) {
        err->line = stmt->line;
        err->col = stmt->col;
    }
    return st;
}

static enum tn_status session_set(struct apply *apply, const struct tn_ast_stmt *stmt,
                                  struct tn_err *err)
{
    const struct tn_ast_set_stmt *set = stmt->set;
    if (!tn_str_eq_nocase(set->key, TN_STR("auto.offset.reset")))
        return tn_err_at(err, TN_E_INVALID, "INVALID_SESSION_PROPERTY", set->line, set->col,
                         "no session property '%.*s'", TN_STR_FMT(set->key));
    apply->session.offset_reset = stmt->kind == TN_AS_UNSET                         ? 0
                                  : tn_str_eq_nocase(set->text, TN_STR("earliest")) ? 1
                                                                                    : 2;
    return TN_OK;
}

static enum tn_status refuse_statement(const struct tn_ast_stmt *stmt, struct tn_err *err)
{
    if (stmt->kind == TN_AS_INSERT)
        return tni_not_supported(err, stmt->line, stmt->col,
                                 "INSERT … VALUES in a start-up file would run at every start; "
                                 "run it with tarn sql");
    if (stmt->kind == TN_AS_QUERY || stmt->kind == TN_AS_SHOW || stmt->kind == TN_AS_DESCRIBE ||
        stmt->kind == TN_AS_EXPLAIN)
        return tni_not_supported(err, stmt->line, stmt->col,
                                 "%s in a start-up file has nowhere to show its rows",
                                 tn_ast_stmt_text(stmt->kind));
    return tni_refuse_later(stmt, err);
}

/* Remember the topics a change makes: later statements see their partition counts. */
static void remember_topics(struct apply *apply, const struct tni_change *change)
{
    struct tni_topics *topics = apply->topics;
    for (size_t i = 0; i < change->effects_count; i++) {
        const struct tni_effect *effect = &change->effects[i];
        if (effect->kind == TNI_EFFECT_TOPIC && topics->count < TNI_EFFECTS_MAX) {
            topics->items[topics->count].name = tn_arena_strdup(&apply->arena, effect->topic);
            topics->items[topics->count++].partitions = effect->partitions;
        }
        if (effect->kind != TNI_EFFECT_PLAN_TOPICS)
            continue;
        for (uint32_t s = 0; s < effect->plan->stages_count; s++)
            for (uint32_t n = 0; n < effect->plan->stages[s].nodes_count; n++) {
                const struct tn_node *node = &effect->plan->stages[s].nodes[n];
                if (node->kind != TN_NODE_SINK || topics->count >= TNI_EFFECTS_MAX)
                    continue;
                topics->items[topics->count].name =
                    tn_arena_strdup(&apply->arena, node->decl->topic);
                topics->items[topics->count++].partitions = node->decl->partitions_count;
            }
    }
}

/* ---- fold the script ---- */

static enum tn_status fold_one(struct apply *apply, const struct tn_ast_stmt *stmt,
                               struct tn_err *err)
{
    struct tni_change change;
    struct tn_db *db = apply->db;
    if (stmt->kind == TN_AS_SET || stmt->kind == TN_AS_UNSET)
        return session_set(apply, stmt, err);
    if (!tni_is_ddl(stmt))
        return refuse_statement(stmt, err);
    if (stmt->kind == TN_AS_PAUSE || stmt->kind == TN_AS_RESUME || stmt->kind == TN_AS_TERMINATE)
        return tni_not_supported(err, stmt->line, stmt->col,
                                 "%s is not part of a wanted state; run it with tarn sql",
                                 tn_ast_stmt_text(stmt->kind));
    TN_TRY(tni_change_begin(db, apply->wanted, &apply->session, &apply->arena, stmt->text, &change,
                            err));
    change.actual = db->catalog;
    change.topics = apply->topics;
    enum tn_status st = at_statement(tni_change_apply(&change, stmt, err), stmt, err);
    if (tn_failed(st)) {
        tni_change_release(&change);
        return st;
    }
    remember_topics(apply, &change);
    apply->steps[apply->steps_count++] = (struct step){.stmt = stmt, .session = apply->session};
    apply->wanted = change.catalog;
    keep(apply, change.catalog);
    return TN_OK;
}

static enum tn_status fold(struct apply *apply, struct tn_err *err)
{
    size_t system_count;
    const struct tn_object *const *system = tn_system_objects(&system_count);
    uint32_t count = apply->script.stmts_count;
    apply->catalogs =
        TN_ARENA_ARRAY(&apply->arena, const struct tn_catalog *, 2 * (size_t)count + 2);
    apply->steps = TN_ARENA_ARRAY(&apply->arena, struct step, count + 1);
    struct tn_catalog *empty =
        tni_catalog_new(apply->db->config.is_identifiers_ksql, system, system_count);
    tni_catalog_set_next_store(empty, tni_catalog_next_store(apply->db->catalog));
    /* new query ids must not meet those of the catalog */
    tni_catalog_set_version(empty, tn_catalog_version(apply->db->catalog));
    apply->wanted = empty;
    keep(apply, empty);
    for (uint32_t i = 0; i < count; i++)
        TN_TRY(fold_one(apply, apply->script.stmts[i], err));
    return TN_OK;
}

/* ---- compare ---- */

static bool queries_same(const struct tn_catalog *a, const char *a_id, const struct tn_catalog *b,
                         const char *b_id)
{
    const struct tn_catalog_query *x = tn_catalog_query(a, tn_str_of(a_id));
    const struct tn_catalog_query *y = tn_catalog_query(b, tn_str_of(b_id));
    return x && y && tni_plan_same(x->plan, y->plan);
}

static bool type_same(const struct apply *apply, struct tn_str name)
{
    const struct tn_type *actual = tn_catalog_type(apply->db->catalog, name);
    const struct tn_type *wanted = tn_catalog_type(apply->wanted, name);
    return actual && wanted && tn_type_eq(actual, wanted);
}

/* Is what the CREATE statement makes in the catalog already? *ret_exists: something of that name
 * is. */
static bool create_same(const struct apply *apply, const struct tn_ast_stmt *stmt,
                        const struct tn_session *session, bool *ret_exists)
{
    if (stmt->kind == TN_AS_CREATE_SINK) {
        struct tn_str sink = tn_ast_last(stmt->sink->name).text;
        const struct tn_catalog_sink *actual = tn_catalog_sink(apply->db->catalog, sink);
        const struct tn_catalog_sink *wanted = tn_catalog_sink(apply->wanted, sink);
        *ret_exists = actual != NULL;
        return actual && wanted && tni_sink_same(actual, wanted);
    }
    const struct tn_ast_name *name = stmt->create->name;
    struct tn_str last = tn_ast_last(name).text;
    struct tn_str schema_name = name->parts_count > 1 ? name->parts[name->parts_count - 2].text
                                                      : tn_str_of(session->schema);
    if (stmt->kind == TN_AS_CREATE_SCHEMA)
        return *ret_exists = tn_catalog_has_schema(apply->db->catalog, last);
    if (stmt->kind == TN_AS_CREATE_TYPE) {
        *ret_exists = tn_catalog_type(apply->db->catalog, last) != NULL;
        return type_same(apply, last);
    }
    const struct tn_object *actual = tn_catalog_find(apply->db->catalog, schema_name, last);
    const struct tn_object *wanted = tn_catalog_find(apply->wanted, schema_name, last);
    *ret_exists = actual != NULL;
    if (!actual || !wanted)
        return false;
    if (!tni_object_same(actual, wanted))
        return false;
    if (wanted->kind == TN_OBJ_VIEW || wanted->kind == TN_OBJ_TABLE || !wanted->query_id)
        return true;
    return actual->query_id &&
           queries_same(apply->db->catalog, actual->query_id, apply->wanted, wanted->query_id);
}

struct insert_search {
    const struct tn_catalog *actual, *wanted;
    struct tn_str statement;
    bool is_same;
};

static bool insert_same(void *ctx, const struct tn_catalog_query *query)
{
    struct insert_search *search = ctx;
    if (query->kind == TN_QUERY_INSERT && tn_str_eq(tn_str_of(query->statement), search->statement))
        search->is_same = queries_same(search->actual, query->id, search->wanted, query->id);
    return !search->is_same;
}

/* Which statements have work to do. An ALTER belongs to the CREATE of its object: it runs only when
 * that does, or when its columns are not there yet. */
static enum tn_status choose_steps(struct apply *apply)
{
    size_t count = 0;
    for (size_t i = 0; i < apply->steps_count; i++) {
        struct step *step = &apply->steps[i];
        const struct tn_ast_stmt *stmt = step->stmt;
        bool exists = false, is_needed = true;
        if (stmt->kind == TN_AS_INSERT) {
            struct insert_search search = {apply->db->catalog, apply->wanted, stmt->text, false};
            tn_catalog_each_query(apply->wanted, insert_same, &search);
            is_needed = !search.is_same;
        } else if (stmt->kind == TN_AS_DROP) {
            is_needed = false; /* of something the script itself made */
        } else if (stmt->kind == TN_AS_ALTER && stmt->alter->object == TN_AOB_SINK) {
            struct tn_str name = tn_ast_last(stmt->alter->name).text;
            const struct tn_catalog_sink *actual = tn_catalog_sink(apply->db->catalog, name);
            const struct tn_catalog_sink *wanted = tn_catalog_sink(apply->wanted, name);
            is_needed = !actual || !wanted || !tni_sink_same(actual, wanted);
        } else if (stmt->kind == TN_AS_ALTER) {
            struct tn_str name = tn_ast_last(stmt->alter->name).text;
            const struct tn_object *actual =
                tn_catalog_find(apply->db->catalog, TN_STR("default"), name);
            const struct tn_object *wanted =
                tn_catalog_find(apply->wanted, TN_STR("default"), name);
            is_needed = !actual || !wanted || !tni_object_same(actual, wanted);
        } else {
            is_needed = !create_same(apply, stmt, &step->session, &exists);
        }
        if (!is_needed)
            continue;
        step->is_replace = exists;
        apply->steps[count++] = *step;
    }
    apply->steps_count = count;
    return TN_OK;
}

/* ---- warnings, prune ---- */

struct absent {
    struct apply *apply;
    const struct tn_object *objects[TNI_EFFECTS_MAX];
    size_t count;
    const struct tn_catalog_query *queries[TNI_EFFECTS_MAX];
    size_t queries_count;
    const char *sinks[TNI_EFFECTS_MAX];
    size_t sinks_count;
};

static bool absent_object(void *ctx, const struct tn_object *object)
{
    struct absent *absent = ctx;
    if (object->kind != TN_OBJ_SYSTEM && absent->count < TNI_EFFECTS_MAX &&
        !tn_catalog_find(absent->apply->wanted, tn_str_of(object->schema_name),
                         tn_str_of(object->name)))
        absent->objects[absent->count++] = object;
    return true;
}

/* INSERT INTO queries the file no longer has. */
static bool absent_query(void *ctx, const struct tn_catalog_query *query)
{
    struct absent *absent = ctx;
    if (query->kind == TN_QUERY_INSERT && absent->queries_count < TNI_EFFECTS_MAX &&
        !tn_catalog_query(absent->apply->wanted, tn_str_of(query->id)))
        absent->queries[absent->queries_count++] = query;
    return true;
}

static void absent_sinks(struct absent *absent)
{
    const struct tn_catalog_sink *sink;
    for (size_t i = 0; (sink = tn_catalog_sink_at(absent->apply->db->catalog, i)); i++)
        if (absent->sinks_count < TNI_EFFECTS_MAX &&
            !tn_catalog_sink(absent->apply->wanted, tn_str_of(sink->name)))
            absent->sinks[absent->sinks_count++] =
                tn_arena_strdup(&absent->apply->arena, sink->name);
}

static const char *kind_word(const struct tn_object *object)
{
    return object->kind == TN_OBJ_STREAM ? "STREAM"
           : object->kind == TN_OBJ_VIEW ? "VIEW"
                                         : "TABLE";
}

static void warn_absent(struct apply *apply, const struct absent *absent)
{
    for (size_t i = 0; i < absent->count; i++)
        tn_buf_printf(apply->warnings, "%s %s.%s is not in the file and keeps running\n",
                      kind_word(absent->objects[i]), absent->objects[i]->schema_name,
                      absent->objects[i]->name);
    for (size_t i = 0; i < absent->queries_count; i++)
        tn_buf_printf(apply->warnings, "query %s is not in the file and keeps running\n",
                      absent->queries[i]->id);
    for (size_t i = 0; i < absent->sinks_count; i++)
        tn_buf_printf(apply->warnings, "SINK %s is not in the file and keeps running\n",
                      absent->sinks[i]);
}

/* ---- run ---- */

/* On copies: every statement in order. */
static enum tn_status try_steps(struct apply *apply, struct tn_err *err)
{
    const struct tn_catalog *at = apply->db->catalog;
    apply->topics->count = 0;
    for (size_t i = 0; i < apply->steps_count; i++) {
        struct step *step = &apply->steps[i];
        struct tni_change change;
        TN_TRY(tni_change_begin(apply->db, at, &step->session, &apply->arena, step->stmt->text,
                                &change, err));
        change.topics = apply->topics;
        if (step->is_replace) {
            if (step->stmt->kind == TN_AS_CREATE_SINK) {
                step->stmt->sink->is_or_replace = true;
                step->stmt->sink->is_if_not_exists = false;
            } else {
                step->stmt->create->is_or_replace = true;
                step->stmt->create->is_if_not_exists = false;
            }
        }
        enum tn_status st =
            at_statement(tni_change_apply(&change, step->stmt, err), step->stmt, err);
        if (tn_failed(st)) {
            tni_change_release(&change);
            return st;
        }
        remember_topics(apply, &change);
        keep(apply, change.catalog);
        at = change.catalog;
    }
    return TN_OK;
}

static enum tn_status run_step(struct apply *apply, const struct step *step, struct tn_err *err)
{
    struct tni_change change;
    struct tn_str text = step->stmt->text;
    if (step->is_replace) { /* the record must say so, for replay */
        struct tn_buf buf;
        tn_buf_init(&buf, SCRIPT_BYTES_MAX);
        tn_ast_print_stmt(step->stmt, &buf);
        text = tn_arena_str(&apply->arena, tn_buf_str(&buf));
        tn_buf_release(&buf);
    }
    TN_TRY(tni_change_begin(apply->db, apply->db->catalog, &step->session, &apply->arena, text,
                            &change, err));
    change.record.file = apply->file;
    enum tn_status st = tni_change_apply(&change, step->stmt, err);
    if (!tn_failed(st))
        st = tni_change_commit(&change, err);
    if (tn_failed(st))
        tni_change_undo(&change);
    tni_change_release(&change);
    return at_statement(st, step->stmt, err);
}

static enum tn_status run_text(struct apply *apply, const char *text, struct tn_err *err)
{
    struct tn_ast_stmt *stmt;
    struct tn_parse_opts opts = {.is_identifiers_ksql = apply->db->config.is_identifiers_ksql};
    TN_TRY(tn_parse_statement(tn_str_of(text), &opts, &apply->arena, &stmt, err));
    struct step step = {.stmt = stmt, .session = apply->session};
    return run_step(apply, &step, err);
}

static enum tn_status prune_queries(struct apply *apply, const struct absent *absent,
                                    struct tn_err *err)
{
    for (size_t i = 0; i < absent->queries_count; i++) {
        const char *id = absent->queries[i]->id;
        TN_TRY(run_text(apply, tn_arena_printf(&apply->arena, "TERMINATE \"%s\"", id), err));
        tn_buf_printf(apply->warnings, "query %s is not in the file and was terminated\n", id);
    }
    for (size_t i = 0; i < absent->sinks_count; i++) {
        const char *name = absent->sinks[i];
        TN_TRY(run_text(apply, tn_arena_printf(&apply->arena, "DROP SINK \"%s\"", name), err));
        tn_buf_printf(apply->warnings, "SINK %s is not in the file and was dropped\n", name);
    }
    return TN_OK;
}

/* Readers go before what they read: passes until nothing is left or a pass drops nothing. */
static enum tn_status prune(struct apply *apply, const struct absent *absent, struct tn_err *err)
{
    bool *is_gone = TN_ARENA_ARRAY(&apply->arena, bool, absent->count + 1);
    size_t left = absent->count;
    TN_TRY(prune_queries(apply, absent, err));
    while (left) {
        size_t before = left;
        struct tn_err why = TN_ERR_INIT;
        for (size_t i = absent->count; i-- > 0;) {
            const struct tn_object *object = absent->objects[i];
            if (is_gone[i] ||
                tn_failed(
                    run_text(apply,
                             tn_arena_printf(&apply->arena, "DROP %s \"%s\".\"%s\"",
                                             kind_word(object), object->schema_name, object->name),
                             &why)))
                continue;
            tn_buf_printf(apply->warnings, "%s %s.%s is not in the file and was dropped\n",
                          kind_word(object), object->schema_name, object->name);
            is_gone[i] = true;
            left--;
        }
        if (left == before) {
            if (err)
                *err = why;
            return why.code;
        }
    }
    return TN_OK;
}

static enum tn_status apply_all(struct apply *apply, bool is_prune, struct tn_err *err)
{
    TN_TRY(fold(apply, err));
    TN_TRY(choose_steps(apply));
    if (apply->steps_count && tni_file_is_old(apply->db, apply->file)) {
        tn_buf_printf(
            apply->warnings,
            "this file is older than the catalog that all processes share: it was applied "
            "before, and newer statements came after it; nothing of it is applied again "
            "(change it, a comment is enough, to make it the newest)\n");
        return TN_OK;
    }
    TN_TRY(try_steps(apply, err));
    struct absent *absent = tn_arena_zalloc(&apply->arena, 1, sizeof *absent);
    absent->apply = apply;
    tn_catalog_each(apply->db->catalog, absent_object, absent);
    tn_catalog_each_query(apply->db->catalog, absent_query, absent);
    absent_sinks(absent);
    enum tn_status st = TN_OK;
    tn_engine_hold(apply->db->config.engine, true); /* its queries read what is there once */
    for (size_t i = 0; i < apply->steps_count && !tn_failed(st); i++)
        st = run_step(apply, &apply->steps[i], err);
    tn_engine_hold(apply->db->config.engine, false);
    TN_TRY(st);
    if (is_prune)
        return prune(apply, absent, err);
    warn_absent(apply, absent);
    return TN_OK;
}

enum tn_status tn_db_apply(struct tn_db *db, struct tn_str script, bool is_prune,
                           struct tn_buf *ret_warnings, struct tn_err *err)
{
    struct apply apply = {
        .db = db, .warnings = ret_warnings, .file = tn_hash64(script.ptr, script.len) | 1};
    struct tn_parse_opts opts = {.bytes_max = TN_PARSE_BYTES_MAX,
                                 .is_identifiers_ksql = db->config.is_identifiers_ksql};
    tn_arena_init(&apply.arena, 0);
    tn_session_init(&apply.session);
    apply.topics = tn_arena_zalloc(&apply.arena, 1, sizeof *apply.topics);
    pthread_mutex_lock(&db->ddl_lock);
    enum tn_status st = TN_OK;
    const struct tn_catalog *before = tn_catalog_ref(db->catalog); /* absent objects borrow it */
    if (script.len > SCRIPT_BYTES_MAX)
        st = tn_err_set(err, TN_E_LIMIT, "the file is larger than %zu bytes", SCRIPT_BYTES_MAX);
    if (!tn_failed(st))
        st = tn_parse_script(script, &opts, &apply.arena, &apply.script, err);
    if (!tn_failed(st))
        st = apply_all(&apply, is_prune, err);
    pthread_mutex_unlock(&db->ddl_lock);
    for (size_t i = 0; i < apply.catalogs_count; i++)
        tn_catalog_unref(apply.catalogs[i]);
    tn_catalog_unref(before);
    tn_arena_release(&apply.arena);
    return st;
}
