/* The processes of one application beside Kafka: who owns which partitions, and rows from them.
 *
 * Each process publishes its address and its partitions in the compacted topic "<application
 * id>-members" and reads everybody's. A table scan here shows the partitions that are here; what
 * is missing is asked from the owners over HTTP (sql/README.md "Several processes"). A statement
 * sees one commit of each process, not one across them.
 *
 * A record carries a token of that run of the process: who may read the application's topics may
 * read its state. It is asked for with each request of another process.
 *
 * Ownership: everything in the config outlives it. @thread open and close: the owner; the rest any
 */
#ifndef TN_SQL_MEMBERS_H
#define TN_SQL_MEMBERS_H

#include "connectors/http_server.h"
#include "sql/db.h"

struct tn_members;

struct tn_members_config {
    const char *application_id;
    const char *instance_id; /* of the state folder */
    const char *address;     /* HOST:PORT where other processes reach this one */
    struct tn_db *db;
    struct tn_engine *engine;
    struct tn_log *log;
    struct tn_clock *clock;
    struct tn_metrics *metrics;
    bool is_refusing;    /* sql.gather=false: name what is elsewhere, ask nobody */
    bool has_standbys;   /* sql.standby.reads: a copy here when the owner does not answer */
    int64_t patience_ms; /* sql.gather.wait.ms: for partitions that are on their way */
};

/* Adds the routes (before tn_http_start), publishes this process and begins to follow the others.
 */
enum tn_status tn_members_open(const struct tn_members_config *config,
                               struct tn_http_server *server, struct tn_members **ret_members,
                               struct tn_err *err);
/* After tn_http_stop, before the engine closes. Takes the published record back. NULL is a no-op.
 */
void tn_members_close(struct tn_members *members);

#endif
