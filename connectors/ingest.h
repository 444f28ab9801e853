/* HTTP ingest: POST /streams/{name} and the paths that streams declare (ingest_path) append records
 * to a log and are answered only when the log says that they are durable.
 *
 * Body: one JSON value, an array, NDJSON or values separated by white space; or raw bytes with
 * Content-Type application/octet-stream and X-Tarn-Key. A body that cannot be parsed or is over the
 * limit appends nothing. What fits no schema is found when the record is read (dead letters): JSON
 * streams keep the element's bytes unchanged.
 *
 * sql/ tells what a stream is through struct tn_ingest_resolver, so that this folder knows no
 * catalog.
 * @thread any; the answer is completed on a thread of the log
 */
#ifndef TN_CONNECTORS_INGEST_H
#define TN_CONNECTORS_INGEST_H

#include "connectors/http_server.h"
#include "stream/log.h"
#include "stream/plan.h"

/* What ingest must know of one stream. Everything is borrowed from `pin` until release. */
struct tn_ingest_target {
    const char *name; /* declared spelling */
    const struct tn_topic_decl *decl;
    const char *reply_text; /* INGEST_TEXT: body of the answer; NULL = JSON */
    int reply_status;       /* INGEST_STATUS; 0 = 200 */
    const char *event_text; /* INGEST_EVENT: "Song {id} processed"; NULL = the value */
    const char *defaults;   /* INGEST_DEFAULTS: JSON object of members to add; NULL */
    bool is_ingest_path;    /* has a path of its own: shown by GET /events */
    const char *refusal;    /* why it takes no events; NULL = it does. Its events can be read */
    const void *pin;
};

struct tn_ingest_resolver {
    /* Changes whenever any target may have changed. Cheap. */
    int64_t (*version)(struct tn_ingest_resolver *resolver);
    /* By stream name, or by declared path. TN_E_NAME: there is none. */
    enum tn_status (*find)(struct tn_ingest_resolver *resolver, struct tn_str name, bool is_path,
                           struct tn_ingest_target *ret_target, struct tn_err *err);
    void (*release)(struct tn_ingest_resolver *resolver, struct tn_ingest_target *target);
    /* Names of all streams with an ingest path, for GET /events. */
    void (*each)(struct tn_ingest_resolver *resolver, void (*each)(void *ctx, const char *name),
                 void *ctx);
};

struct tn_ingest_config {
    const char *application_id;
    struct tn_log *log;
    const struct tn_formats *formats;
    struct tn_clock *clock;
    struct tn_metrics *metrics;
    struct tn_ingest_resolver *resolver;
    int64_t idempotency_keys_max; /* keys remembered for 24 h; 0 = 100,000 */
};

/* Are INGEST_PATH and INGEST_DEFAULTS (NULL = not given) usable? Checked when a stream is declared,
 * so that it is not found out at the first request. */
enum tn_status tn_ingest_check(const char *path, const char *defaults, struct tn_err *err);

struct tn_ingest;

/* Reads the remembered Idempotency-Keys back. Everything in config outlives the ingest. */
enum tn_status tn_ingest_open(const struct tn_ingest_config *config, struct tn_ingest **ret_ingest,
                              struct tn_err *err);
void tn_ingest_close(struct tn_ingest *ingest); /* after the server has stopped; NULL is a no-op */
/* POST /streams/{name}, DELETE /streams/{name}, GET /streams/{name}/events, GET /events and the
 * fallback for declared paths. */
void tn_ingest_routes(struct tn_ingest *ingest, struct tn_http_server *server);

#endif
