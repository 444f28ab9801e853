/* The streaming planner: a bound stream query becomes an immutable plan (stream/plan.h) and the
 * declaration of what it fills. It decides keys and partitioning (where a repartition topic is
 * needed), which topics carry state and results, windows and their defaults. It reads the catalog
 * and topic metadata, and changes nothing: topics are created by whoever adds the plan to an engine
 * (tni_plan_topics).
 *
 * Ownership: everything of the answer lives in the plan's arena. @thread one statement, one thread
 */
#ifndef TN_SQL_PLAN_STREAM_H
#define TN_SQL_PLAN_STREAM_H

#include "sql/bound_stream.h"
#include "sql/with.h"

enum tni_sink_kind {
    TNI_SINK_STREAM, /* CREATE STREAM … AS, INSERT INTO … SELECT */
    TNI_SINK_TABLE,  /* CREATE TABLE … AS */
    TNI_SINK_NONE    /* push query: the last node's rows go to subscribers */
};

struct tni_plan_request {
    const struct tni_stream_query *query;
    const struct tn_catalog *catalog;
    const struct tn_formats *formats;
    /* Partition count of an existing topic; TN_NOT_FOUND. */
    enum tn_status (*topic_find)(void *ctx, const char *name, int32_t *ret_partitions,
                                 struct tn_err *err);
    void *topic_ctx;
    const char *application_id, *query_id;
    enum tni_sink_kind sink;
    struct tn_str sink_name;   /* as declared */
    const char *default_topic; /* of the sink when WITH names none */
    const struct tni_with *with;
    const struct tn_object *insert_into; /* INSERT INTO: the existing stream */
    uint32_t store_first;                /* durable store ids from here on */
    bool is_latest, is_exact;
    const char *statement;
};

struct tni_planned {
    struct tn_plan *plan;           /* the caller's reference */
    struct tn_topic_decl decl;      /* of the sink; topic NULL for NONE */
    const struct tn_schema *schema; /* what SELECT * of the result shows */
    uint32_t stores_count;          /* store ids used */
    const char
        *changelog_why; /* why state and results need two topics; NULL when one serves both */
};

enum tn_status tni_plan_stream(const struct tni_plan_request *request,
                               struct tni_planned *ret_planned, struct tn_err *err);

/* The internal query of a declared TABLE: its topic folded into a store that queries read. */
enum tn_status tni_plan_table(const struct tn_topic_decl *decl, const char *query_id,
                              const char *sink_name, uint32_t store_id, struct tn_plan **ret_plan,
                              struct tn_err *err);

/* Create the topics a plan writes (sink, repartition, changelogs), with partitions, cleanup and
 * retention. */
enum tn_status tni_plan_topics(const struct tn_plan *plan, struct tn_log *log, int32_t replicas,
                               int64_t stream_retention_ms, struct tn_err *err);

/* Can the decl's key (or value) format carry its columns? */
enum tn_status tni_format_check(const struct tn_topic_decl *decl, bool is_key, struct tn_err *err);

/* Schema a query sees for an object: the decl's columns, then WINDOWSTART and WINDOWEND for
 * windowed keys. */
const struct tn_schema *tni_windowed_schema(struct tn_arena *arena, const struct tn_schema *schema);

#endif
