/* Metrics registry: a lock-guarded list of series; values are atomics (metrics.h).
 *
 * Histograms: 16 linear sub-buckets per power of two (relative error ≤ 1/16), values below 16
 * exact. 976 buckets of 8 bytes: only histograms pay for them. Series live in chunks that never
 * move, so a handle stays valid.
 */
#include "stream/base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "stream/base/mem.h"

#define SUB_BITS      4u
#define SUB_COUNT     (1u << SUB_BITS)
#define BUCKETS_COUNT ((64u - SUB_BITS) * SUB_COUNT + SUB_COUNT)
#define SERIES_MAX    100000u

struct tn_metric {
    const struct tn_metric_desc *desc;
    char *label_value;
    atomic_int_fast64_t value; /* counter, gauge; histogram: count */
    atomic_int_fast64_t sum;
    atomic_uint_fast64_t *buckets; /* BUCKETS_COUNT; histograms only */
    struct tn_metric *next;        /* registration order within the descriptor */
};

struct family {
    const struct tn_metric_desc *desc;
    struct tn_metric *first, *last;
    struct family *next;
};

struct tn_metrics {
    pthread_mutex_t lock;
    struct family *first, *last;
    uint32_t series_count;
};

struct tn_metrics *tn_metrics_new(void)
{
    struct tn_metrics *metrics = tn_alloc(sizeof *metrics);
    pthread_mutex_init(&metrics->lock, NULL);
    return metrics;
}

void tn_metrics_free(struct tn_metrics *metrics)
{
    if (!metrics)
        return;
    for (struct family *f = metrics->first, *f_next; f; f = f_next) {
        f_next = f->next;
        for (struct tn_metric *m = f->first, *m_next; m; m = m_next) {
            m_next = m->next;
            tn_free(m->label_value);
            tn_free(m->buckets);
            tn_free(m);
        }
        tn_free(f);
    }
    pthread_mutex_destroy(&metrics->lock);
    tn_free(metrics);
}

static struct family *family_get(struct tn_metrics *metrics, const struct tn_metric_desc *desc)
{
    for (struct family *f = metrics->first; f; f = f->next)
        if (f->desc == desc || strcmp(f->desc->name, desc->name) == 0)
            return f;
    struct family *f = tn_alloc(sizeof *f);
    f->desc = desc;
    if (metrics->last)
        metrics->last->next = f;
    else
        metrics->first = f;
    metrics->last = f;
    return f;
}

static struct tn_metric *series_get(struct tn_metrics *metrics, struct family *f,
                                    const char *label_value)
{
    for (struct tn_metric *m = f->first; m; m = m->next)
        if (label_value ? m->label_value && strcmp(m->label_value, label_value) == 0
                        : !m->label_value)
            return m;
    TN_ASSERT(metrics->series_count < SERIES_MAX);
    struct tn_metric *m = tn_alloc(sizeof *m);
    m->desc = f->desc;
    m->label_value = label_value ? tn_strdup(label_value) : NULL;
    if (f->desc->kind == TN_METRIC_HISTOGRAM)
        m->buckets = tn_alloc_array(BUCKETS_COUNT, sizeof *m->buckets);
    if (f->last)
        f->last->next = m;
    else
        f->first = m;
    f->last = m;
    metrics->series_count++;
    return m;
}

struct tn_metric *tn_metric_get(struct tn_metrics *metrics, const struct tn_metric_desc *desc,
                                const char *label_value)
{
    TN_ASSERT(!label_value || desc->label);
    pthread_mutex_lock(&metrics->lock);
    struct tn_metric *m = series_get(metrics, family_get(metrics, desc), label_value);
    pthread_mutex_unlock(&metrics->lock);
    return m;
}

void tn_metric_add(struct tn_metric *metric, int64_t delta)
{
    atomic_fetch_add_explicit(&metric->value, delta, memory_order_relaxed);
}

void tn_metric_set(struct tn_metric *metric, int64_t value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

int64_t tn_metric_value(const struct tn_metric *metric)
{
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}

static unsigned bucket_of(uint64_t value)
{
    if (value < SUB_COUNT)
        return (unsigned)value;
    unsigned top = 63u - (unsigned)__builtin_clzll(value);
    unsigned sub = (unsigned)(value >> (top - SUB_BITS)) & (SUB_COUNT - 1);
    return (top - SUB_BITS + 1) * SUB_COUNT + sub;
}

/* Largest value of a bucket. */
static uint64_t bucket_top(unsigned bucket)
{
    if (bucket < SUB_COUNT)
        return bucket;
    unsigned shift = bucket / SUB_COUNT - 1;
    uint64_t low = (uint64_t)(SUB_COUNT + bucket % SUB_COUNT) << shift;
    return low + ((uint64_t)1 << shift) - 1;
}

void tn_metric_observe(struct tn_metric *metric, int64_t value)
{
    TN_ASSERT(metric->buckets);
    uint64_t v = value < 0 ? 0 : (uint64_t)value;
    atomic_fetch_add_explicit(&metric->buckets[bucket_of(v)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->sum, (int64_t)v, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->value, 1, memory_order_relaxed);
}

int64_t tn_metric_count(const struct tn_metric *metric)
{
    return tn_metric_value(metric);
}

int64_t tn_metric_sum(const struct tn_metric *metric)
{
    return atomic_load_explicit(&metric->sum, memory_order_relaxed);
}

int64_t tn_metric_quantile(const struct tn_metric *metric, double q)
{
    TN_ASSERT(metric->buckets);
    uint64_t total = 0;
    for (unsigned i = 0; i < BUCKETS_COUNT; i++)
        total += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
    if (total == 0)
        return 0;
    uint64_t rank = (uint64_t)(q * (double)(total - 1)) + 1, seen = 0;
    for (unsigned i = 0; i < BUCKETS_COUNT; i++) {
        seen += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        if (seen >= rank)
            return (int64_t)bucket_top(i);
    }
    return (int64_t)bucket_top(BUCKETS_COUNT - 1);
}

static void add_label_value(struct tn_buf *buf, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            tn_buf_add_byte(buf, '\\');
        if (*text == '\n')
            tn_buf_add_text(buf, "\\n");
        else
            tn_buf_add_byte(buf, *text);
    }
}

static void print_name(struct tn_buf *buf, const struct tn_metric *m, const char *suffix,
                       const char *quantile)
{
    tn_buf_printf(buf, "%s%s", m->desc->name, suffix);
    if (!m->label_value && !quantile) {
        tn_buf_add_byte(buf, ' ');
        return;
    }
    tn_buf_add_byte(buf, '{');
    if (m->label_value) {
        tn_buf_printf(buf, "%s=\"", m->desc->label);
        add_label_value(buf, m->label_value);
        tn_buf_add_text(buf, quantile ? "\"," : "\"");
    }
    if (quantile)
        tn_buf_printf(buf, "quantile=\"%s\"", quantile);
    tn_buf_add_text(buf, "} ");
}

static void print_number(struct tn_buf *buf, const struct tn_metric *m, int64_t value)
{
    if (m->desc->kind == TN_METRIC_HISTOGRAM && strcmp(m->desc->unit, "seconds") == 0)
        tn_buf_printf(buf, "%.9g\n", (double)value / 1e9);
    else
        tn_buf_printf(buf, "%lld\n", (long long)value);
}

/* A histogram is shown as a summary: the quantiles are what a reader wants, 976 buckets are not. */
static void print_series(struct tn_buf *buf, const struct tn_metric *m)
{
    if (m->desc->kind != TN_METRIC_HISTOGRAM) {
        print_name(buf, m, "", NULL);
        print_number(buf, m, tn_metric_value(m));
        return;
    }
    static const struct {
        const char *text;
        double q;
    } shown[] = {{"0.5", 0.5}, {"0.9", 0.9}, {"0.99", 0.99}, {"1", 1}};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        print_name(buf, m, "", shown[i].text);
        print_number(buf, m, tn_metric_quantile(m, shown[i].q));
    }
    print_name(buf, m, "_sum", NULL);
    print_number(buf, m, atomic_load_explicit(&m->sum, memory_order_relaxed));
    print_name(buf, m, "_count", NULL);
    tn_buf_printf(buf, "%lld\n", (long long)tn_metric_count(m));
}

void tn_metrics_print(struct tn_metrics *metrics, struct tn_buf *buf)
{
    static const char *const kinds[] = {[TN_METRIC_COUNTER] = "counter",
                                        [TN_METRIC_GAUGE] = "gauge",
                                        [TN_METRIC_HISTOGRAM] = "summary"};
    pthread_mutex_lock(&metrics->lock);
    for (struct family *f = metrics->first; f; f = f->next) {
        tn_buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n", f->desc->name, f->desc->help,
                      f->desc->name, kinds[f->desc->kind]);
        for (struct tn_metric *m = f->first; m; m = m->next)
            print_series(buf, m);
    }
    pthread_mutex_unlock(&metrics->lock);
}

void tn_metrics_each(struct tn_metrics *metrics,
                     bool (*each)(void *ctx, const struct tn_metric_desc *desc,
                                  const char *label_value, const struct tn_metric *metric),
                     void *ctx)
{
    pthread_mutex_lock(&metrics->lock);
    bool go_on = true;
    for (struct family *f = metrics->first; f && go_on; f = f->next)
        for (struct tn_metric *m = f->first; m && go_on; m = m->next)
            go_on = each(ctx, f->desc, m->label_value, m);
    pthread_mutex_unlock(&metrics->lock);
}
