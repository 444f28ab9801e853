/* The live page: GET / and its assets (embedded at build time), and GET /live, one server-sent
 * event feed that carries everything the page shows. A builder thread makes one snapshot for all
 * readers and runs only while there are any.
 */
#ifndef TN_DASHBOARDS_LIVE_H
#define TN_DASHBOARDS_LIVE_H

#include "connectors/http_server.h"
#include "sql/db.h"

struct tn_live;

struct tn_live_config {
    struct tn_db *db;
    struct tn_engine *engine;
    struct tn_log *log;
    struct tn_sinks *sinks; /* may be NULL */
    struct tn_clock *clock;
    struct tn_metrics *metrics;
    const char *version;
    int64_t interval_ms; /* between snapshots; 0 = 500 */
};

/* Adds the routes (before tn_http_start). Everything in config and the server outlive it. */
enum tn_status tn_live_open(const struct tn_live_config *config, struct tn_http_server *server,
                            struct tn_live **ret_live, struct tn_err *err);
void tn_live_close(struct tn_live *live); /* after tn_http_stop; NULL is a no-op */

#endif
