/* The streaming plan of one persistent query: immutable, made by sql/ from bound statements, run by
 * the engine.
 *
 * A plan is a list of stages; a stage runs as one task per partition p and reads partition p of
 * each of its inputs. A repartition node ends a stage by writing to an internal topic that the next
 * stage reads. Inside a stage, nodes form a chain or tree in topological order: nodes[i].input < i.
 *
 * Schemas: SOURCE yields the declared schema (key columns first, then value columns; unread ones
 * absent), then for a decl with windowed keys `windowstart`, `windowend` (BIGINT ms). PROJECT
 * yields one column per expression. AGGREGATE yields key columns, then one column per aggregate
 * call, then for windowed ones `windowstart`, `windowend`; every FILTER and PROJECT up to the SINK
 * keeps these two as the last columns, and SINK takes its first columns by decl->schema and the
 * key's window suffix from the last two (decl->window tells). MATERIALIZE and FILTER yield their
 * input's columns. HOLD stands directly
 * behind an AGGREGATE or MATERIALIZE and yields its columns. JOIN_TABLE yields its input's columns,
 * then the columns of the store's MATERIALIZE node (all NULL for an unmatched LEFT row).
 * REPARTITION: exprs[i] gives column i of decl->schema, the first decl->keys_count of them the new
 * key; the next stage's SOURCE reads the same decl. A folding one (is_fold) has the key columns and
 * one BYTES column in decl->schema; exprs are the keys_count key columns, then what agg_args and
 * agg_filters name; the AGGREGATE that reads its SOURCE is_fold, too, with the same aggregates, and
 * merges what fold.h describes. All expressions are bound with rel = 0 against
 * the input node's schema and compiled by tn_plan_compile.
 *
 * Ownership: everything lives in plan->arena; shared read-only by tasks; reference counted. @thread
 * any
 */
#ifndef TN_STREAM_PLAN_H
#define TN_STREAM_PLAN_H

#include <stdatomic.h>
#include "stream/agg.h"
#include "stream/expr.h"
#include "stream/format.h"
#include "stream/log.h"

#define TN_STAGES_MAX 64
#define TN_NODES_MAX  256

/* How a topic is read or written as a stream or table. Shared by catalog entries and plans. */
struct tn_topic_decl {
    const char *topic;
    bool is_table;                  /* TABLE: upserts by key, null value deletes */
    bool is_global;                 /* whole topic on every process (GLOBAL=true) */
    const struct tn_schema *schema; /* key columns, then value columns */
    uint32_t keys_count;            /* the first keys_count fields are the key */
    const struct tn_format *key_format, *value_format;
    bool is_value_bare, is_key_bare; /* one column, unwrapped */
    char key_delimiter, value_delimiter;
    bool is_case_exact;
    int32_t partitions_count;
    int timestamp_column;         /* −1 = record timestamp */
    const char *timestamp_format; /* Java pattern for VARCHAR timestamp columns; NULL */
    enum tn_policy { TN_POLICY_DEAD_LETTER, TN_POLICY_SKIP, TN_POLICY_FAIL } on_error;
    /* windowed keys (streaming-semantics 5.4) */
    enum tn_window_kind {
        TN_WINDOW_NONE,
        TN_WINDOW_TUMBLE,
        TN_WINDOW_HOP,
        TN_WINDOW_SESSION
    } window;
    int64_t window_size_ms;
};

/* How a codec of one side is opened; `schema` has its columns. */
static inline struct tn_codec_spec tn_decl_spec(const struct tn_topic_decl *decl, bool is_key,
                                                const struct tn_schema *schema)
{
    return (struct tn_codec_spec){.is_key = is_key,
                                  .is_bare = is_key ? decl->is_key_bare : decl->is_value_bare,
                                  .delimiter = is_key ? decl->key_delimiter : decl->value_delimiter,
                                  .is_case_exact = decl->is_case_exact,
                                  .schema = schema};
}

struct tn_window {
    enum tn_window_kind kind;
    int64_t size_ms;    /* TUMBLE, HOP: length; SESSION: gap */
    int64_t advance_ms; /* HOP */
    int64_t grace_ms;
    int64_t retention_ms;
    bool is_final; /* EMIT FINAL */
};

enum tn_node_kind {
    TN_NODE_SOURCE,      /* decl */
    TN_NODE_FILTER,      /* exprs[0]; over a table: a row that stops matching becomes a DELETE */
    TN_NODE_PROJECT,     /* exprs[…], schema */
    TN_NODE_AGGREGATE,   /* keys, aggs, window, store */
    TN_NODE_JOIN_TABLE,  /* stream (input) with a materialised table (store); exprs[0] = key of the
                            look-up */
    TN_NODE_MATERIALIZE, /* table changes → store; output carries old and new value */
    TN_NODE_HOLD,        /* results of the store below wait for plan->emit_interval_ms; own store */
    TN_NODE_REPARTITION, /* ends a stage: exprs = key, then value columns of internal topic `decl`
                          */
    TN_NODE_SINK         /* ends a stage: writes `decl` */
};

enum tn_join_kind { TN_JOIN_INNER, TN_JOIN_LEFT, TN_JOIN_RIGHT, TN_JOIN_FULL };

/* A store: what a KTable's rows live in, per partition. */
struct tn_store_spec {
    const char *name;         /* "songs-store" */
    uint32_t id;              /* durable number, given by the catalog; part of every state key */
    uint32_t stage, node;     /* the node that fills it */
    const char *changelog;    /* topic that rebuilds it */
    bool is_changelog_result; /* changelog bytes are the result topic's rows (engine.md §5) */
    bool is_source; /* changelog is the source topic itself (MATERIALIZE of a declared table) */
    /* is_changelog_result: column i of the sink's schema after decode gives aggregate or key
     * from_result[i]: ≥ 0: aggregate number; −1 − k: key column k; INT_MIN: ignored */
    const int *from_result;
};

struct tn_node {
    enum tn_node_kind kind;
    int input;                        /* index of the input node; −1 for SOURCE */
    const struct tn_schema *schema;   /* of the output */
    bool is_table;                    /* output rows are table changes */
    const struct tn_topic_decl *decl; /* SOURCE, SINK, REPARTITION */
    uint32_t exprs_count;
    struct tn_expr *const *exprs;
    struct tn_program *const *programs; /* exprs compiled */
    /* AGGREGATE */
    uint32_t keys_count;
    const uint32_t *keys; /* input columns */
    uint32_t aggs_count;
    const struct tn_agg_call *aggs;
    const uint32_t (*agg_args)[4]; /* input columns of each aggregate's arguments */
    const int32_t *agg_filters;    /* input BOOLEAN column of FILTER (WHERE), −1 = none */
    bool is_fold; /* REPARTITION: rows are aggregated before they are written (keys_count, aggs,
                     agg_args, agg_filters over exprs); AGGREGATE: its input is such a topic */
    struct tn_window window;
    int store; /* plan->stores index: AGGREGATE, MATERIALIZE, HOLD, JOIN_TABLE (table side) */
    enum tn_join_kind join;
    bool needs_before; /* consumers downstream need UPDATE_BEFORE rows */
    bool is_having;    /* FILTER over an aggregate result */
};

struct tn_stage {
    uint32_t nodes_count;
    struct tn_node *nodes;
    int32_t partitions_count;
};

struct tn_plan {
    atomic_int refs;
    struct tn_arena arena;
    char query_id[64];     /* "CTAS_SONGS_3" */
    const char *sink_name; /* stream or table it fills; NULL for push queries */
    const char *statement; /* text as given */
    uint32_t stages_count;
    struct tn_stage *stages;
    uint32_t stores_count;
    struct tn_store_spec *stores;
    bool is_emit_every_update; /* else coalesced at commit */
    int64_t emit_interval_ms;  /* of a HOLD node; 0 = none */
    bool is_from_latest;       /* auto.offset.reset for streams */
};

struct tn_plan *tn_plan_new(void);
struct tn_plan *tn_plan_ref(const struct tn_plan *plan);
void tn_plan_unref(struct tn_plan *plan);
/* Check invariants (node order, schema widths, store indices) and compile all expressions. */
enum tn_status tn_plan_compile(struct tn_plan *plan, struct tn_err *err);
/* A tree with one node per line, for EXPLAIN. */
void tn_plan_print(const struct tn_plan *plan, struct tn_buf *buf);

#endif
