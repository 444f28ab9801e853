/* GET /metrics (Prometheus text), /healthz, /readyz and /v1/info. */
#ifndef TN_CONNECTORS_HTTP_PROBES_H
#define TN_CONNECTORS_HTTP_PROBES_H

#include "connectors/http_server.h"
#include "stream/engine.h"

struct tn_http_probes;

/* Adds the routes (before tn_http_start). Everything given, and the server, outlive it. `version`
 * is the product's. */
struct tn_http_probes *tn_http_probes_new(struct tn_http_server *server, struct tn_engine *engine,
                                          struct tn_metrics *metrics, struct tn_clock *clock,
                                          const char *version);
void tn_http_probes_free(struct tn_http_probes *probes); /* after tn_http_stop; NULL is a no-op */
/* Memory of this process, 0 when it cannot be told. @thread any */
int64_t tn_process_resident_bytes(void);

#endif
