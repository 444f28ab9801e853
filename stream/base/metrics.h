/* Metrics: static descriptor tables, values in a registry. The same table feeds /metrics
 * (Prometheus text), system.metrics, METRICS.md and the dashboard's legends.
 *
 * A component declares `static const struct tn_metric_desc x_metrics[]` and registers it once; it
 * then updates values by handle. Labels are one optional name=value pair set at registration of the
 * series.
 * @thread any (atomics; registration takes a lock)
 */
#ifndef TN_STREAM_BASE_METRICS_H
#define TN_STREAM_BASE_METRICS_H

#include "stream/base/buf.h"

enum tn_metric_kind { TN_METRIC_COUNTER, TN_METRIC_GAUGE, TN_METRIC_HISTOGRAM };

struct tn_metric_desc {
    const char *name; /* tarn_<component>_<what>_<unit>[_total] */
    enum tn_metric_kind kind;
    const char *unit;  /* records, bytes, seconds, ms… */
    const char *label; /* label name or NULL */
    const char *help;
};

struct tn_metric; /* one series; lives as long as the registry */
struct tn_metrics;

struct tn_metrics *tn_metrics_new(void);
void tn_metrics_free(struct tn_metrics *metrics);
/* The series of `desc` with this label value (NULL without label); made on first use. */
struct tn_metric *tn_metric_get(struct tn_metrics *metrics, const struct tn_metric_desc *desc,
                                const char *label_value);
void tn_metric_add(struct tn_metric *metric, int64_t delta);
void tn_metric_set(struct tn_metric *metric, int64_t value);
int64_t tn_metric_value(const struct tn_metric *metric);
/* Histogram of durations in ns or sizes; log-linear buckets, relative error ≤ 1/16. */
void tn_metric_observe(struct tn_metric *metric, int64_t value);
/* q in [0, 1]; 0 when empty. */
int64_t tn_metric_quantile(const struct tn_metric *metric, double q);
int64_t tn_metric_count(const struct tn_metric *metric);
int64_t tn_metric_sum(const struct tn_metric *metric); /* of a histogram's values */

/* Prometheus text exposition 0.0.4. */
void tn_metrics_print(struct tn_metrics *metrics, struct tn_buf *buf);
void tn_metrics_each(struct tn_metrics *metrics,
                     bool (*each)(void *ctx, const struct tn_metric_desc *desc,
                                  const char *label_value, const struct tn_metric *metric),
                     void *ctx);

#endif
