/* The engine's inside: workers, tasks, inputs, rounds. Private to stream/; the drawing is in
 * stream/README.md
 * ("Commit round").
 *
 * WHO OWNS WHAT. The engine owns queries and workers. A worker (thread) owns every task and source
 * of the partitions placed on it (engine_place.c), so nothing on the data path is shared between
 * threads. A task is a stage of a query × a partition; it owns its operators (with their
 * ktables, codecs) and inputs. A source reads and decodes one partition of one topic for all inputs
 * that follow it.
 *
 * Rounds. What a task produced since the last boundary is its open tni_turn. At a boundary the
 * worker closes the turns of its tasks and hands them over as a part; the parts of all workers are
 * one round, which the commit thread settles.
 *
 * THREADS. @thread worker: the task's data path. @thread commit: rounds, control operations (with
 * all workers parked). `lock` guards the list of queries, parts and the control queue; it is never
 * held while calling a port.
 */
#ifndef TN_STREAM_ENGINE_INT_H
#define TN_STREAM_ENGINE_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include "stream/engine.h"
#include "stream/ktable.h"
#include "stream/plan_int.h"

#define TNI_WORKERS_MAX      64
#define TNI_QUEUE_BLOCKS_MAX 4                 /* decoded reads waiting in one input */
#define TNI_READ_BYTES_MAX   ((size_t)1 << 20) /* of one read */
#define TNI_STANDBY_NS       5000000000ll      /* standbys without a position look again */
#define TNI_COMMIT_GAP_NS    5000000ll /* drained inputs commit no sooner after the last commit */
#define TNI_FAILURES_MAX     3  /* rounds in a row that fail without progress before a stop */
#define TNI_TASK_STORES_MAX  32 /* stateful nodes of one stage */
#define TNI_DEAD_BYTES_MAX   ((size_t)64 << 20) /* dead letters of one round and worker */

struct tni_task;
struct tni_positions;
struct tni_query;
struct tni_worker;
struct tni_turn;
struct tni_dead;
struct tni_fold;

/* ---- reading ---- */

/* One decoded read, shared by the inputs that queue it. refs and free list belong to the worker. */
struct tni_block {
    int refs;
    struct tni_worker *worker;
    struct tni_block *next_free;
    struct tn_arena arena;
    struct tn_plan *plan; /* whose decl the columns were made with */
    struct tn_records *records;
    struct tn_batch *batch; /* good rows only; NULL when none */
    int64_t from, next;     /* positions before and after */
    int64_t time_max_ms;    /* latest row of the batch; INT64_MIN = not looked for yet */
    uint32_t bad_count;
};

/* Reader of one partition of one topic in one form of decoding. */
struct tni_source {
    struct tni_worker *worker;
    struct tn_plan *plan; /* keeps decl alive */
    const struct tn_topic_decl *decl;
    const struct tn_schema *schema; /* of the SOURCE node: decl's, then window bounds */
    struct tn_topic topic;
    int32_t partition;
    uint32_t beside_count; /* other sources of this partition */
    bool is_change;        /* repartition topic of a table: records carry op and both values */
    bool is_drained;       /* nothing visible at `next`; cleared by a wake-up */
    bool is_stale;         /* needed columns or decl changed: reopen the codecs */
    int64_t next;
    atomic_llong end_visible;
    bool *needed;
    struct tn_codec *key_codec, *value_codec;
    struct tn_program *time_program; /* VARCHAR timestamp column */
    struct tn_arena codec_arena;
    struct tni_input **inputs;
    uint32_t inputs_count, inputs_cap;
};

struct tni_queued {
    struct tni_block *block;
    uint32_t row; /* first row not consumed */
};

/* One input partition of a task. */
struct tni_input {
    struct tni_task *task;
    uint32_t node;
    const struct tn_topic_decl *decl;
    struct tn_topic topic;
    int32_t partition;
    bool is_table;
    bool is_change;            /* written by a REPARTITION of this plan over a table */
    bool is_replayed;          /* rebuilds a store: read before the task is live, up to stop_at */
    int64_t ready_at;          /* end_visible when attached: a global table is complete there */
    int64_t start;             /* first offset kept, when the query was attached */
    int64_t stop_at;           /* no record at or after this is read; INT64_MAX = none */
    struct tni_source *source; /* NULL while detached (paused, failed, restoring) */
    struct tni_queued queue[TNI_QUEUE_BLOCKS_MAX];
    uint32_t queue_from, queue_count;
    int64_t idle_since_ns;  /* empty since; 0 = not empty */
    atomic_llong position;  /* next offset to consume */
    atomic_llong rows_end;  /* offset after the last row consumed */
    atomic_llong committed; /* position of the last committed round */
    atomic_llong applied;   /* everything below is in the committed side of the ktables */
    atomic_llong seen_end;  /* end_visible as it was seen last */
    int64_t handed;         /* position in the last turn handed over */
    int32_t group;          /* number of its tni_group_offset + 1; 0 = none yet. @thread commit */
};

/* ---- operators ---- */

/* Run-time side of one plan node within one task. */
struct tni_op {
    const struct tn_node *node;
    uint32_t number;
    uint32_t *readers; /* node numbers */
    uint32_t readers_count;
    uint32_t keys_count; /* stateful nodes: leading columns of the output */
    bool needs_before;
    bool is_shown;    /* what leaves here is what subscribers see */
    bool is_mine;     /* false: runs in the global task (or, there, in the ordinary one) */
    bool is_replayed; /* on the way from a replayed source to its store */
    /* AGGREGATE, MATERIALIZE */
    const struct tn_store_spec *store;
    struct tni_ktable *kt;
    const struct tn_type **key_types;
    int64_t stream_time_ms,
        closed_ms; /* windowed aggregates; committed copies below, for a rewind */
    int64_t committed_stream_ms, committed_closed_ms;
    bool has_own_changelog; /* in our encoding; else the result topic or the source rebuilds it */
    struct tn_topic changelog;   /* topic that rebuilds the store */
    int64_t changelog_base;      /* records below belong to an earlier life of the query */
    atomic_llong changelog_next; /* everything below is in kt's committed side; a flush stores it */
    bool is_warm;                /* read into memory after a start, as far as the budget went */
    bool is_touched;             /* changed since the last boundary */
    struct tni_op *hold;         /* the HOLD that takes the results of this store; NULL = none */
    /* HOLD; its stream_time_ms is the time up to which results went out */
    bool has_held;      /* maybe something is held back */
    bool is_emitted;    /* at least once: what is held went out with the last round */
    int64_t emit_at_ns; /* results leave no sooner */
    int64_t held_rows;  /* about */
    /* JOIN_TABLE */
    struct tni_op *table; /* the MATERIALIZE op looked up, here or in the global task */
    struct tni_task *global;
    bool *live_values; /* the table's value columns that something reads; FILTER over a stream: the
                          columns; NULL = all */
    bool is_selecting; /* FILTER: its readers take rows by number */
    /* SINK, REPARTITION */
    struct tn_topic topic;
    bool is_pinned; /* records stay in the task's partition: the topic rebuilds a store */
    struct tn_program *time_program; /* SINK with a VARCHAR time column */
    int32_t changelog_of;            /* number of the op whose store these records rebuild; −1 */
    struct tn_codec *key_codec, *value_codec;
    struct tn_buf key_bytes, value_bytes, window_bytes;
    struct tn_records_builder *builders; /* by partition of the topic */
    struct tni_fold *fold; /* REPARTITION that folds: the open round; NULL = nothing */
};

/* STANDBY: of another process; follows the changelogs. */
enum tni_task_state { TNI_TASK_RESTORING, TNI_TASK_RUNNING, TNI_TASK_STOPPED, TNI_TASK_STANDBY };

struct tni_restore; /* task_restore.c */

struct tni_task {
    struct tni_query *query;
    const struct tn_stage *stage;
    uint32_t stage_number;
    int32_t partition;
    struct tni_worker *worker;
    uint32_t number;             /* of worker->tasks */
    atomic_int state;            /* enum tni_task_state */
    bool is_made;                /* init got far enough for release */
    bool is_global;              /* fills a global table; outside of rounds */
    uint32_t table_node;         /* global: the MATERIALIZE */
    struct tni_task *leader;     /* global: the task of another query that fills the table for both;
                                    guarded by engine->lock for other threads; NULL = this one */
    atomic_bool is_owned;        /* this process works on it; changes with workers parked */
    bool is_new;                 /* owes the first positions of its inputs. @thread commit */
    atomic_bool is_ready;        /* global: end_visible of the start was reached */
    struct tni_view global_view; /* global: its own commits */
    bool has_view;
    uint32_t ops_count;
    struct tni_op *ops;
    uint32_t inputs_count;
    struct tni_input *inputs;
    struct tni_turn *turn; /* open round; NULL = nothing yet */
    struct tni_restore *restore;
    struct tn_arena *arena;     /* scratch of the running batch (the worker's) */
    struct tn_arena own_arena;  /* what lives as long as the task */
    int64_t stream_time_ms;     /* largest row time consumed */
    atomic_llong shown_time_ms; /* the same, for any thread */
    int64_t committed_time_ms;
    bool is_folding;           /* its rows do not count towards the size of a round */
    bool is_stuck;             /* global: its topic cannot be read on; until it is loaded again */
    bool is_blocked;           /* waits for the rewind it asked for */
    bool is_state_bad;         /* drop the stored state at the next recovery */
    pthread_mutex_t side_lock; /* publish by the worker (replay, global) against flush */
};

/* ---- queries ---- */

struct tni_counters {
    atomic_llong rows_in, rows_out, rows_late, rows_bad, rows_unmatched, rows_null_key,
        rows_null_value, rows_error;
};

struct tn_subscription {
    struct tn_engine *engine;
    char query_id[64];
    tn_changes_fn fn;
    void *ctx;
    struct tn_subscription *next;
};

struct tni_query {
    struct tn_engine *engine;
    struct tn_plan *plan;
    uint32_t tasks_count;
    struct tni_task *tasks;   /* global tasks first */
    atomic_bool keeps_topics; /* dropped by another process, which removes them */
    atomic_bool is_paused, is_failed;
    atomic_bool is_emit_wanted; /* it ends: what is held back goes out with the next round */
    struct tn_err error;        /* guarded by engine->lock */
    struct tni_counters counters;
    atomic_llong restore_done, restore_total;
    atomic_int subscriptions_count;
    const struct tn_schema *shown_schema; /* what scans and subscriptions show; in shown_arena */
    struct tn_arena shown_arena;
    bool needs_first,
        is_first_sent;         /* @thread commit: a commit must write positions of new tasks */
    atomic_int state_failures; /* recoveries in a row that this query asked for */
};

/* ---- rounds ---- */

/* One append of a round. */
struct tni_emit {
    const struct tn_topic *topic;
    int32_t partition;
    struct tn_records *records;
    int32_t changelog_op; /* the op whose store it rebuilds; −1 */
    bool is_sent;
    uint32_t slot;
};

struct tni_shown { /* for subscriptions: rows of the sink's schema */
    struct tn_batch *batch;
    struct tni_shown *next;
};

/* What a task did in one round. */
struct tni_turn {
    struct tni_task *task;
    struct tni_turn *next;
    struct tn_arena arena;
    struct tni_emit *emits;
    uint32_t emits_count, emits_cap;
    struct tni_delta **deltas; /* by op; NULL where nothing changed */
    int64_t *positions;        /* by input */
    int64_t *op_times;         /* by op: stream time, closed */
    int64_t stream_time_ms;
    struct tni_shown *shown, *shown_last;
    bool has_positions; /* they are in the transaction */
    size_t bytes;
};

struct tni_dead_mark { /* bad records below `next` are dead-lettered */
    char topic[TN_TOPIC_NAME_MAX + 1];
    int32_t partition;
    int64_t next, before;
};

/* Shared position of the live queries on one input partition, for the log's consumer group: the
 * foremost one; who is behind (late, paused, failed) has only its own. */
struct tni_group_offset {
    struct tn_topic topic;
    int32_t partition;
    int64_t committed, sent; /* −1 none; sent: in the open transaction */
};

/* What one worker hands over. */
struct tni_part {
    struct tni_turn *turns, *turns_last;
    bool is_dead_sent;
    struct tn_records *dead; /* NULL = none */
    struct tni_dead_mark *marks;
    uint32_t marks_count;
};

enum tni_round_state {
    TNI_ROUND_OPEN,
    TNI_ROUND_CLOSING, /* boundary asked for, parts arriving */
    TNI_ROUND_COMMITTING,
    TNI_ROUND_CONTROL, /* settled; waiting for all workers to park, then control operations run */
    TNI_ROUND_ABORTING /* waiting for all workers to park */
};

enum tni_rewind { TNI_REWIND_NONE, TNI_REWIND_ABORT, TNI_REWIND_RECOVER };

/* A change of the set of queries, run by the commit thread between rounds with all workers parked.
 */
struct tni_control {
    enum tn_status (*run)(struct tn_engine *engine, void *ctx, struct tn_err *err);
    void *ctx;
    enum tn_status st;
    struct tn_err *err;
    bool is_done;
    struct tni_control *next;
};

struct tni_worker {
    struct tn_engine *engine;
    uint32_t index;
    pthread_t thread;
    bool has_thread;
    struct tn_wake wake; /* of the reader; recovered by container_of */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_signalled; /* guarded by lock */
    bool is_kicked;    /* not (only) by the log: tasks may have changed; guarded by lock */
    bool is_parked;    /* guarded by lock; set by the worker, taken back by the commit thread */
    atomic_bool is_idle, has_changes, has_rows;
    atomic_llong emit_at_ns;    /* results that are held back become due; INT64_MAX = none */
    atomic_llong open_rows;     /* consumed in the open round */
    atomic_llong folded_rows;   /* of them, by tasks that only fold */
    atomic_llong changed_at_ns; /* first change of the open round; 0 = none */
    uint64_t round;             /* boundaries made */
    struct tn_log_reader *reader;
    struct tni_source **sources;
    uint32_t sources_count, sources_cap, sources_turn;
    struct tni_task **tasks;
    bool *is_quiet; /* by task: nothing to do until a row comes or the worker is kicked */
    uint32_t tasks_count, tasks_cap, tasks_turn;
    struct tni_block *free_blocks;
    struct tn_arena arena;       /* scratch of one batch, reset after it */
    struct tni_scratch *scratch; /* op_int.h */
    atomic_llong round_bytes;    /* of records produced in the open round */
    struct tni_dead *dead;
    int64_t idle_until_ns; /* max.task.idle: look again at this time; 0 = no need */
};

struct tn_engine {
    struct tn_engine_config config;
    char application_id[256];
    struct tn_log *log;
    struct tn_state *state;
    struct tn_clock *clock;
    struct tn_metrics *metrics;
    struct tni_budget budget;
    struct tni_view view;
    bool has_view;
    struct tn_topic dead_topic;
    uint32_t workers_count;
    struct tni_worker workers[TNI_WORKERS_MAX];
    uint8_t places[TN_PARTITIONS_MAX]; /* worker of a partition + 1; 0 = not placed yet */
    int64_t placed_records[TNI_WORKERS_MAX];

    pthread_mutex_t lock;
    pthread_mutex_t subs_lock;       /* subscriptions; held during their callbacks */
    pthread_cond_t controls_changed; /* a control operation is done */
    struct tni_query **queries;
    uint32_t queries_count, queries_cap;
    struct tni_control *controls;
    struct tn_subscription *subscriptions;
    struct tn_fresh *freshes;
    struct tn_err fatal; /* fenced, or too many failures; code TN_OK while fine */
    atomic_bool is_fatal;
    struct tn_err unwritten; /* why the state port refuses what was committed */
    bool is_unwritten;

    /* the commit thread */
    pthread_t commit_thread;
    bool has_threads, has_commit_thread;
    struct tn_wake commit_wake;
    pthread_mutex_t commit_lock;
    pthread_cond_t commit_cond;
    bool is_commit_signalled; /* guarded by commit_lock */
    atomic_bool is_stopping;
    atomic_int holds_count;        /* tn_engine_hold */
    atomic_ullong boundary_wanted; /* workers with round below make a boundary */
    atomic_bool park_wanted;
    enum tni_round_state round_state;
    struct tni_part *parts[TNI_WORKERS_MAX]; /* guarded by lock until all have arrived */
    uint32_t parts_count;
    struct tn_log_txn *txn;
    int64_t committed_at_ns; /* end of the last round */
    int64_t closing_since_ns;
    int64_t retry_at_ns;      /* after failures */
    uint32_t failures_count;  /* in a row */
    uint32_t poisoned_count;  /* rounds in a row that one query spoiled */
    atomic_bool is_gc_wanted; /* a pin was given back */
    enum tni_rewind rewind;
    atomic_bool is_recover_wanted; /* a worker found state that it cannot use */
    atomic_bool is_abort_wanted;   /* a query failed in the middle of a batch: the open round is
                                      rolled back */
    atomic_bool is_flush_wanted, is_commit_wanted;
    int64_t flushed_at_ns, held_at_ns;
    uint64_t topics_version;          /* of the log, when widths were looked at */
    atomic_bool is_emit_wanted;       /* nothing is held back any more: the engine ends */
    atomic_llong epoch;               /* recoveries: pins of an earlier epoch see dropped tables */
    struct tn_str *dropped_positions; /* position keys to remove with the next commit */
    uint32_t dropped_count, dropped_cap;
    struct tni_query **dropping; /* out of the list, removed after that commit */
    uint32_t dropping_count, dropping_cap;
    uint32_t step_turn;

    struct tni_group_offset *groups; /* @thread commit */
    uint32_t groups_count, groups_cap;
    bool is_group_sent; /* one at least went into the transaction */

    /* membership (engine_member.c). @thread commit, owned also under lock */
    struct tn_log_member *member;      /* NULL: not joined */
    bool has_members;                  /* work is shared: only `owned` partitions are ours */
    atomic_bool is_withheld;           /* out of the group until somebody lets us in again */
    char withheld[TN_ERR_MESSAGE_MAX]; /* why; under lock */
    int32_t member_partitions;
    _Atomic uint64_t generation;
    atomic_bool is_bereft; /* all partitions were lost, the group has not answered since */
    int64_t standbys_at_ns, rejoin_at_ns;
    uint8_t owned[TN_PARTITIONS_MAX / 8 + 1];
    struct tni_assignment {
        bool is_pending, is_lost, is_rejoin;
        uint64_t generation;
        uint8_t owned[TN_PARTITIONS_MAX / 8 + 1];
    } assignment;
    uint32_t fences_count; /* producers fenced since the last quiet spell */
    int64_t fenced_at_ns;
    struct tni_engine_metrics {
        struct tn_metric *rows_in, *rows_out, *rows_bad, *commits, *aborts, *recoveries,
            *commit_seconds, *boundary_seconds, *flush_seconds, *flushed_rows, *dead_letters,
            *restore_left, *standby_lag, *owned, *read_errors, *restored, *state_bytes, *round_rows;
    } m;
};

/* ---- engine.c ---- */
void tni_worker_kick(struct tni_worker *worker);
void tni_workers_kick(struct tn_engine *engine);
void tni_commit_kick(struct tn_engine *engine);
struct tni_query *tni_engine_find(struct tn_engine *engine, const char *query_id);
/* Marks the query FAILED with the error; its tasks stop at their next batch. @thread any */
void tni_query_fail(struct tni_query *query, const struct tn_err *err);
void tni_engine_fail(struct tn_engine *engine, const struct tn_err *err);
/* Run `control` on the commit thread (or here, without threads) and wait for it. */
enum tn_status tni_engine_control(struct tn_engine *engine,
                                  enum tn_status (*run)(struct tn_engine *engine, void *ctx,
                                                        struct tn_err *err),
                                  void *ctx, struct tn_err *err);
/* For the tests: abort of a kill. Forget everything at once, as a kill would: nothing is committed
 * or flushed. Tests. */
void tni_engine_abandon(struct tn_engine *engine);
void tni_engine_metrics_init(struct tn_engine *engine);

/* ---- engine_control.c ---- */
/* State and topics of dropped queries, after the commit that removed their positions. @thread
 * commit */
void tni_engine_finish_drops(struct tn_engine *engine);

/* ---- engine_query.c: making and removing queries (workers parked) ---- */
/* engine_place.c */
void tni_engine_place(struct tn_engine *engine, const struct tn_plan *plan);
struct tni_worker *tni_worker_of(struct tn_engine *engine, int32_t partition);
enum tn_status tni_query_new(struct tn_engine *engine, struct tn_plan *plan,
                             struct tni_query **ret_query, struct tn_err *err);
void tni_query_free(struct tni_query *query);
/* Read positions, open ktables and prepare their restore; attach to the workers. */
enum tn_status tni_query_attach(struct tni_query *query, struct tn_err *err);
/* Only the second half: the workers run its tasks as soon as they are loaded. */
void tni_query_follow(struct tni_query *query);
void tni_query_detach(struct tni_query *query);
/* Positions, ktables and replays as the log and the state port have them now. */
enum tn_status tni_query_load(struct tni_query *query, struct tn_err *err);
/* Delete repartition topics and own changelogs. */
/* Queries whose topics got more partitions fail: nobody reads those. Asks the log. */
/* Topics of a broker may get partitions under us; the embedded log's do not. Cheap when nothing
 * has changed. */
void tni_engine_check_widths(struct tn_engine *engine);
/* One task anew: owned ones get positions and restore, others a standby or nothing. */
enum tn_status tni_task_load(struct tni_task *task, const struct tni_positions *positions,
                             struct tn_err *err);
enum tn_status tni_query_drop_topics(struct tni_query *query, struct tn_err *err);
enum tn_status tni_engine_load_marks(struct tn_engine *engine, struct tn_err *err);
/* Everything in memory is dropped and comes back from the log: after an indefinite commit. */
enum tn_status tni_engine_recover(struct tn_engine *engine, struct tn_err *err);

/* ---- engine_member.c: which partitions are ours ---- */
/* Widest stage of a plan that shares its work; 0 = everybody runs it. */
int32_t tni_plan_width(const struct tn_plan *plan);
/* Join with room for `partitions_count`, or join again with more. Workers parked. */
enum tn_status tni_member_join(struct tn_engine *engine, int32_t partitions_count,
                               struct tn_err *err);
void tni_member_leave(struct tn_engine *engine);
/* Ask for news; true while an assignment waits to be applied. */
bool tni_member_poll(struct tn_engine *engine);
/* Give up what is gone, take over what is new. Workers parked, nothing open. */
void tni_member_apply(struct tn_engine *engine);
/* The producer was fenced: true when this process joins again, false when it must stop. */
bool tni_member_rejoin(struct tn_engine *engine, const struct tn_err *err);
bool tni_engine_owns(const struct tn_engine *engine, const struct tni_task *task);
static inline bool tni_bit_is_set(const uint8_t *bits, int32_t i)
{
    return bits[i / 8] >> (i % 8) & 1;
}

/* ---- engine_global.c: global tables, kept once for all queries that join one ---- */
/* Nodes of the stage that a global task runs for the MATERIALIZE `table_node`; −1: for any. */
bool tni_global_nodes(const struct tn_plan *plan, const struct tn_stage *stage, int table_node,
                      bool *mask);
/* Who fills the table of this global task of a new query: NULL = the task itself. */
struct tni_task *tni_global_leader(const struct tni_task *task);
/* A join looks up the table of this global task, or of the one that fills it instead. */
void tni_global_bind(struct tni_op *join, struct tni_task *global);
/* The query goes: others take its tables over and fill them anew. Workers parked. */
void tni_global_resign(struct tni_query *query);
/* It cannot go on: its query fails, and all that look at the table it fills. */
void tni_task_fail(struct tni_task *task, const struct tn_err *err);

/* ---- task.c ---- */
enum tn_status tni_task_init(struct tni_task *task, struct tni_query *query, uint32_t stage,
                             int32_t partition, int table_node, struct tn_err *err);
void tni_task_release(struct tni_task *task);
struct tni_turn *tni_task_turn(struct tni_task *task);
void tni_turn_free(struct tni_turn *turn);
void tni_turn_emit(struct tni_turn *turn, const struct tn_topic *topic, int32_t partition,
                   struct tn_records *records, int32_t changelog_op);
/* Close the open round of this task; NULL when nothing happened. */
struct tni_turn *tni_task_boundary(struct tni_task *task, struct tn_err *err);
/* Roll back what is open and what of this task is in the engine's parts. */
enum tn_status tni_task_drop_changes(struct tni_task *task, struct tn_err *err);
/* Forget what is loaded: no tables, no inputs, STOPPED. Workers parked. */
void tni_task_stop(struct tni_task *task);
/* The same, and back to the committed positions. */
enum tn_status tni_task_rewind(struct tni_task *task, struct tn_err *err);
/* Consume what the inputs hold, as far as their merge allows. TN_AGAIN: nothing to do. */
enum tn_status tni_task_run(struct tni_task *task, struct tn_err *err);
/* Rows only rebuild stores now: global task, or a source-backed store behind its committed
 * position. */
bool tni_task_is_replaying(const struct tni_task *task);
/* Something went wrong in this task on the data path: decides between failing the query and
 * recovering. */
void tni_task_trouble(struct tni_task *task, const struct tn_err *err);
static inline bool tni_task_is_live(const struct tni_task *task)
{
    return atomic_load_explicit(&task->state, memory_order_acquire) == TNI_TASK_RUNNING;
}

/* ---- task_source.c: reading, decoding, sharing ---- */
void tni_source_attach(struct tni_input *input); /* finds or makes a source at input->position */
void tni_source_detach(struct tni_input *input);
/* One read. TN_AGAIN: nothing there or no room. */
enum tn_status tni_source_step(struct tni_source *source, struct tn_err *err);
/* A failed read that will work again: the topic is there and the offset is in it. Look later. */
bool tni_read_is_passing(enum tn_status st);
void tni_read_later(struct tni_worker *worker);
void tni_look_later(struct tni_worker *worker);
void tni_source_free(struct tni_source *source);
bool tni_source_has_room(const struct tni_source *source);
void tni_block_unref(struct tni_block *block);
void tni_input_clear(struct tni_input *input);
/* Another source of the same form at the same offset takes over; true when `source` is gone. */
bool tni_source_merge(struct tni_source *source);
/* Program that turns a VARCHAR time column into BIGINT ms by the decl's pattern. */
enum tn_status tni_time_program(const struct tn_topic_decl *decl, struct tn_arena *arena,
                                struct tn_program **ret_program, struct tn_err *err);
/* Row times of a batch from the decl's time column. bad (bitmap, may be NULL) gets rows without a
 * usable one. */
void tni_column_times(const struct tn_topic_decl *decl, const struct tn_program *program,
                      const struct tn_batch *batch, struct tn_arena *arena, int64_t *ret_times_ms,
                      uint8_t *ret_bad);
bool tni_decl_same(const struct tn_topic_decl *a, const struct tn_topic_decl *b);

/* ---- task_dead.c: dead letters ---- */
struct tni_dead *tni_dead_new(struct tni_worker *worker);
void tni_dead_free(struct tni_dead *dead);
struct tni_bad_record {
    const struct tn_topic *topic;
    int32_t partition;
    int64_t offset, timestamp_ms;
    const char *stream, *reason;
    struct tn_str field, key, value;
    int32_t position;
};
void tni_dead_add(struct tni_dead *dead, const struct tni_bad_record *bad);
void tni_dead_mark(struct tni_dead *dead, const struct tn_topic *topic, int32_t partition,
                   int64_t next);
/* Below this offset letters are written. */
int64_t tni_dead_next(struct tni_dead *dead, const char *topic, int32_t partition);
/* Set from the committed mark. */
void tni_dead_restore(struct tni_dead *dead, const char *topic, int32_t partition, int64_t next);
/* Back to the last committed boundary; `in_flight` is the part being rolled back, or NULL. */
void tni_dead_rewind(struct tni_dead *dead, const struct tni_part *in_flight);
bool tni_dead_is_full(const struct tni_dead *dead);
void tni_dead_take(struct tni_dead *dead, struct tni_part *part);

/* ---- task_restore.c ---- */
/* Decide from stored and committed positions what to replay; TN_OK also when there is nothing. */
enum tn_status tni_restore_prepare(struct tni_task *task, bool is_new, struct tn_err *err);
/* Exchange the table of an op; other threads look at it under engine->lock. Takes over the
 * reference. */
void tni_op_set_table(struct tni_task *task, struct tni_op *op, struct tni_ktable *kt);
/* Remove the rows and the meta of a store partition from the state port. */
enum tn_status tni_state_drop(struct tni_task *task, const struct tni_op *op, struct tn_err *err);
/* One read of a standby's changelogs. */
enum tn_status tni_standby_step(struct tni_task *task, struct tn_err *err);
/* One read of replay. TN_END: done. */
enum tn_status tni_restore_step(struct tni_task *task, struct tn_err *err);
void tni_restore_free(struct tni_restore *restore);
/* State port key and value of a task's stored positions, for flush and restore. */
void tni_meta_key(const struct tni_task *task, const struct tni_op *op, struct tn_buf *buf);
void tni_meta_value(const struct tni_task *task, const struct tni_op *op, struct tn_buf *buf);

/* ---- op_*.c ---- */
/* Push a batch through the readers of `op`. */
enum tn_status tni_op_push(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                           struct tn_err *err);
/* Hand rows of the last node to the query's subscribers with the turn. */
enum tn_status tni_op_show(struct tni_task *task, struct tni_op *op, struct tn_batch *batch);
enum tn_status tni_op_filter(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                             struct tn_err *err);
enum tn_status tni_op_project(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                              struct tn_err *err);
enum tn_status tni_op_aggregate(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                                struct tn_err *err);
enum tn_status tni_op_materialize(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                                  struct tn_err *err);
enum tn_status tni_op_join(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                           struct tn_err *err);
enum tn_status tni_op_sink(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                           struct tn_err *err);
enum tn_status tni_op_repartition(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                                  struct tn_err *err);
/* Stateful ops at a boundary: close the ktable's round into the turn, push coalesced changes on,
 * write the changelog. */
enum tn_status tni_op_boundary(struct tni_task *task, struct tni_op *op, struct tni_turn *turn,
                               struct tn_err *err);
/* op_hold.c: results of a store, held back for the plan's emit_interval_ms */
void tni_hold_init(struct tni_task *task, struct tni_op *op);
/* After a rewind or a restore: no result sooner than emit_at_ns. Nothing for other kinds of op. */
void tni_hold_reset(struct tni_op *op, int64_t emit_at_ns);
/* What is held back wants to go out; false for other kinds of op. */
bool tni_hold_is_due(const struct tni_task *task, const struct tni_op *op);
/* When a round is to be closed for results that are held back, into worker->emit_at_ns. */
void tni_worker_plan_emits(struct tni_worker *worker);
/* Close builders into the open turn. */
void tni_op_flush_builders(struct tni_task *task, struct tni_op *op);
/* Filter and project of one batch without a task, for table scans. ret_batch may be the input.
 * live: columns that must be in it, NULL = all. */
enum tn_status tni_filter_run(const struct tn_node *node, struct tn_batch *batch, const bool *live,
                              struct tn_arena *arena, struct tni_counters *counters,
                              struct tn_batch **ret_batch, struct tn_err *err);
/* wanted: output columns to compute, the others come out absent; NULL = all. */
enum tn_status tni_project_run(const struct tn_node *node, struct tn_batch *batch,
                               const bool *wanted, struct tn_arena *arena,
                               struct tni_counters *counters, struct tn_batch **ret_batch,
                               struct tn_err *err);
/* op_fold.c: rows on their way to a repartition topic, aggregated per round */
enum tn_status tni_fold_rows(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                             struct tn_err *err);
/* What is folded becomes records of the open round; nothing for other kinds of op. */
enum tn_status tni_fold_flush(struct tni_task *task, struct tni_op *op, struct tn_err *err);
void tni_fold_drop(struct tni_op *op);
/* The AGGREGATE behind it: partial states into the states of their groups. */
enum tn_status tni_fold_merge(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                              struct tn_err *err);
/* Decoding of repartition records of tables: op and both values (op_repartition.c). */
enum tn_status tni_change_decode(struct tni_source *source, struct tni_block *block,
                                 struct tn_err *err);

/* ---- round.c, round_commit.c ---- */
/* One step of the state machine; TN_AGAIN: waits for workers, the log or time. @thread commit */
enum tn_status tni_round_step(struct tn_engine *engine);
/* Monotonic time at which round_step has something to do by itself; INT64_MAX = none. */
int64_t tni_round_deadline_ns(struct tn_engine *engine);
void tni_worker_boundary(struct tni_worker *worker);
/* Rows of the open round that may have made a change each. */
static inline int64_t tni_worker_rows(const struct tni_worker *worker)
{
    return atomic_load(&worker->open_rows) - atomic_load(&worker->folded_rows);
}
/* It holds its share of what a round may: it stops, and the round ends. */
bool tni_worker_is_full(const struct tni_worker *worker);
void tni_part_free(struct tni_part *part);
void tni_parts_clear(struct tn_engine *engine);
bool tni_workers_are_parked(struct tn_engine *engine);
/* One unit of work. TN_AGAIN: idle. */
enum tn_status tni_worker_step(struct tni_worker *worker);
/* Write committed, unflushed rows and their positions to the state port, where it is time; is_all:
 * everything. */
enum tn_status tni_round_flush(struct tn_engine *engine, bool is_all, struct tn_err *err);
/* The same before a recovery, of tasks that are sound: what is committed need not be read from the
 * changelogs again, which may not show all of it yet (log.h: end_written). */
void tni_round_keep(struct tn_engine *engine);
/* Rows and positions of one task, now. */
enum tn_status tni_task_flush(struct tn_engine *engine, struct tni_task *task, struct tn_err *err);
/* Tell the log what the committed positions of the query still need; is_released: nothing any more.
 */
void tni_query_hold(struct tni_query *query, bool is_released);
/* Whose records the log refused at commit_poll; NULL = nobody's. */
struct tni_query *tni_commit_culprit(struct tn_engine *engine);
void tni_group_forget(struct tn_engine *engine, bool is_all);
/* begin … commit_start of the collected parts. A failure names the query to blame in *ret_culprit
 * (or NULL). */
enum tn_status tni_commit_start(struct tn_engine *engine, struct tni_query **ret_culprit,
                                struct tn_err *err);
void tni_commit_publish(struct tn_engine *engine);

/* ---- engine_position.c ---- */
struct tni_position_store {
    uint32_t id;
    int64_t stream_time_ms, closed_ms, changelog_base;
    uint8_t changelog_id[16]; /* zeros: none, or not known */
};
struct tni_position {
    uint8_t log_id[16];
    int64_t offset;
    int64_t stream_time_ms;
    uint32_t stores_count;
    struct tni_position_store stores[TNI_TASK_STORES_MAX];
};
void tni_position_key(const struct tn_engine *engine, const char *query_id, const char *topic,
                      int32_t partition, struct tn_buf *buf);
void tni_position_value(const struct tni_position *position, struct tn_buf *buf);
/* All positions of a query ("" = dead letter marks), by topic and partition. */
struct tni_positions;
enum tn_status tni_positions_load(struct tn_engine *engine, const char *query_id,
                                  struct tni_positions **ret_positions, struct tn_err *err);
const struct tni_position *tni_positions_find(const struct tni_positions *positions,
                                              const char *topic, int32_t partition);
void tni_positions_free(struct tni_positions *positions);
uint32_t tni_positions_count(const struct tni_positions *positions);
void tni_positions_at(const struct tni_positions *positions, uint32_t i, const char **ret_topic,
                      int32_t *ret_partition);

/* ---- engine_fresh.c ---- */
/* Is any task of the query still replaying its changelog, or a global table not read to its end? */
bool tni_query_is_restoring(const struct tni_query *query);
void tni_fresh_signal(struct tn_engine *engine);

#endif
