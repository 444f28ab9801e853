/* Sketches: COUNT_DISTINCT, approx_distinct (HyperLogLog) and approx_percentile (t-digest).
 *
 * HyperLogLog: up to SPARSE_MAX different hashes are kept as they are (the count is exact), then
 * 2^p registers of one byte. Estimate by Ertl's improved raw estimator ("New cardinality estimation
 * algorithms for HyperLogLog sketches", 2017): no bias correction tables, no switch to linear
 * counting. The hash is stored in effect, so it is frozen here.
 *
 * t-digest (Dunning, merging variant, k1 scale): values are buffered, and merged into centroids
 * when the buffer is full. Up to DIGEST_EXACT values the answer is exact.
 *
 * @thread owner of the state */
#include <math.h>
#include <stdlib.h>

#include "stream/agg_int.h"
#include "stream/rowcode.h"

/* ---- frozen hash ---- */

static uint64_t mix(uint64_t h)
{
    h ^= h >> 33; /* MurmurHash3's 64-bit finaliser */
    h *= 0xff51afd7ed558ccdull;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ull;
    h ^= h >> 33;
    return h;
}

static uint64_t hash_bytes(const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    uint64_t h = 0x9E3779B97F4A7C15ull ^ len;
    for (; len >= 8; len -= 8, p += 8) {
        uint64_t w = 0;
        for (unsigned i = 0; i < 8; i++)
            w |= (uint64_t)p[i] << (8 * i);
        h = mix(h ^ w) + 0x9E3779B97F4A7C15ull;
    }
    uint64_t w = 0;
    for (size_t i = 0; i < len; i++)
        w |= (uint64_t)p[i] << (8 * i);
    return mix(h ^ w);
}

static uint64_t hash_row(const struct tn_column *col, uint32_t row)
{
    switch (col->type->kind) {
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: {
        struct tn_str text = tn_column_str(col, row);
        return hash_bytes(text.ptr, text.len);
    }
    case TN_K_DOUBLE: {
        double d = tn_column_f64(col, row);
        uint64_t bits;
        d = isnan(d) ? (double)NAN : d == 0 ? 0.0 : d;
        memcpy(&bits, &d, 8);
        return mix(bits ^ 0x9E3779B97F4A7C15ull);
    }
    case TN_K_BOOLEAN: return mix((uint64_t)tn_column_bool(col, row) + 0x9E3779B97F4A7C15ull);
    case TN_K_DECIMAL:
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: {
        struct tn_buf buf;
        tn_buf_init(&buf, UINT32_MAX);
        tni_rowcode_add(&buf, col, 1, row);
        uint64_t h = hash_bytes(buf.ptr, buf.len);
        tn_buf_release(&buf);
        return h;
    }
    default: return mix((uint64_t)tni_int_at(col, row) ^ 0x9E3779B97F4A7C15ull);
    }
}

/* ---- HyperLogLog ---- */

#define SPARSE_MAX    128u
#define PRECISION_MIN 4u
#define PRECISION_MAX 16u

struct hll_state {
    uint64_t *hashes;   /* sparse: ascending */
    uint8_t *registers; /* dense: 2^p; then hashes is NULL */
    uint32_t count, cap;
};

/* p so that 1.04 / sqrt(2^p) ≤ error; 14 for the stream function. */
static uint32_t precision_of(const struct tn_agg_call *call)
{
    if (call->rules == TN_RULES_STREAM)
        return 14;
    double error = call->params_count ? call->params[0].d : 0.023, m = 1.04 / error;
    uint32_t p = PRECISION_MIN;
    while (p < PRECISION_MAX && (double)(1u << p) < m * m * 0.999) /* 0.023 asks for 2,048 */
        p++;
    return p;
}

static enum tn_status hll_bind(struct tn_agg_call *call, struct tn_arena *arena, struct tn_err *err)
{
    (void)arena;
    if (call->params_count) {
        struct tn_value *e = &call->params[0];
        if (e->type->kind == TN_K_DECIMAL)
            e->d = (double)e->dec / (double)tni_pow10(e->type->scale);
        else if (e->type->kind != TN_K_DOUBLE)
            return tn_err_set(err, TN_E_TYPE, "'%s': the second argument must be a double",
                              call->agg->name);
        e->type = tn_type_of(TN_K_DOUBLE);
        if (!(e->d >= 0.0040625 && e->d <= 0.26))
            return tn_err_set(err, TN_E_INVALID,
                              "'%s': standard error must be in [0.0040625, 0.26], not %g",
                              call->agg->name, e->d);
    }
    call->type = tn_type_of(TN_K_BIGINT);
    call->state_bytes = sizeof(struct hll_state);
    return TN_OK;
}

static void zero_init(const struct tn_agg_call *call, void *state)
{
    memset(state, 0, call->state_bytes);
}

static void register_add(struct hll_state *s, uint64_t hash, uint32_t p)
{
    uint64_t rest = hash << p | 1ull << (p - 1); /* at most 64 − p + 1 */
    uint8_t rank = (uint8_t)(__builtin_clzll(rest) + 1);
    uint64_t at = hash >> (64 - p);
    if (rank > s->registers[at])
        s->registers[at] = rank;
}

static void make_dense(struct hll_state *s, uint32_t p)
{
    s->registers = tn_alloc(1u << p);
    for (uint32_t i = 0; i < s->count; i++)
        register_add(s, s->hashes[i], p);
    tn_free(s->hashes);
    s->hashes = NULL;
    s->count = s->cap = 0;
}

static void hll_add(struct hll_state *s, uint64_t hash, uint32_t p)
{
    if (s->registers) {
        register_add(s, hash, p);
        return;
    }
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (s->hashes[mid] < hash)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < s->count && s->hashes[low] == hash)
        return;
    if (s->count == SPARSE_MAX) {
        make_dense(s, p);
        register_add(s, hash, p);
        return;
    }
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 4;
        s->hashes = tn_realloc(s->hashes, s->cap * sizeof *s->hashes);
    }
    memmove(&s->hashes[low + 1], &s->hashes[low], (s->count - low) * sizeof *s->hashes);
    s->hashes[low] = hash;
    s->count++;
}

static void hll_update(const struct tn_agg_call *call, const struct tn_column *args,
                       const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    uint32_t p = precision_of(call);
    for (uint32_t i = 0; i < rows_count; i++)
        hll_add(states[i], hash_row(&args[0], tni_row(rows, i)), p);
}

static void hll_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    struct hll_state *a = to;
    const struct hll_state *b = from;
    uint32_t p = precision_of(call);
    if (!b->registers) {
        for (uint32_t i = 0; i < b->count; i++)
            hll_add(a, b->hashes[i], p);
        return;
    }
    if (!a->registers)
        make_dense(a, p);
    for (uint32_t i = 0; i < 1u << p; i++)
        if (b->registers[i] > a->registers[i])
            a->registers[i] = b->registers[i];
}

static double sigma(double x)
{
    if (x == 1)
        return (double)INFINITY;
    double y = 1, z = x, before;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z != before);
    return z;
}

static double tau(double x)
{
    if (x == 0 || x == 1)
        return 0;
    double y = 1, z = 1 - x, before;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z != before);
    return z / 3;
}

static int64_t hll_estimate(const struct hll_state *s, uint32_t p)
{
    if (!s->registers)
        return s->count;
    uint32_t q = 64 - p, counts[66] = {0};
    for (uint32_t i = 0; i < 1u << p; i++)
        counts[s->registers[i]]++;
    double m = (double)(1u << p), z = m * tau(1 - (double)counts[q + 1] / m);
    for (uint32_t k = q; k >= 1; k--)
        z = 0.5 * (z + counts[k]);
    z += m * sigma((double)counts[0] / m);
    return (int64_t)llround(m * m / (2 * log(2) * z));
}

static void hll_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                      struct tn_column *ret_col, struct tn_arena *arena)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    for (uint32_t i = 0; i < count; i++)
        ((int64_t *)ret_col->values)[i] = hll_estimate(states[i], precision_of(call));
}

/* Sparse: count + 1 and the hashes. Dense: 0, then registers with runs of zeros as 0 and their
 * length. */
static void hll_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    const struct hll_state *s = state;
    tn_buf_add_varint(buf, s->registers ? 0 : s->count + 1);
    if (!s->registers) {
        tn_buf_add(buf, s->hashes, s->count * sizeof *s->hashes);
        return;
    }
    uint32_t size = 1u << precision_of(call);
    for (uint32_t i = 0; i < size;) {
        uint32_t end = i + 1;
        tn_buf_add_byte(buf, (char)s->registers[i]);
        if (!s->registers[i]) {
            while (end < size && !s->registers[end])
                end++;
            tn_buf_add_varint(buf, end - i);
        }
        i = end;
    }
}

static const char *registers_decode(struct hll_state *s, uint32_t p, const char *ptr,
                                    const char *end)
{
    uint32_t size = 1u << p;
    s->registers = tn_alloc(size);
    for (uint32_t i = 0; i < size;) {
        uint64_t run = 1;
        if (ptr >= end || (unsigned char)*ptr > 65 - p)
            return NULL;
        s->registers[i] = (uint8_t)*ptr++;
        if (!s->registers[i])
            ptr = tn_varint_read(ptr, end, &run);
        if (!ptr || run == 0 || run > size - i)
            return NULL;
        i += (uint32_t)run;
    }
    return ptr;
}

static enum tn_status hll_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                 const char *end, const char **ret_next)
{
    struct hll_state *s = state;
    uint64_t count = 0;
    ptr = tn_varint_read(ptr, end, &count);
    if (!ptr || count > SPARSE_MAX + 1)
        return TN_E_CORRUPT;
    if (count) {
        s->cap = s->count = (uint32_t)count - 1;
        s->hashes = s->cap ? tn_alloc_array(s->cap, sizeof *s->hashes) : NULL;
        ptr = tni_get_raw(ptr, end, s->hashes, s->count * sizeof *s->hashes);
        for (uint32_t i = 1; ptr && i < s->count; i++)
            if (s->hashes[i - 1] >= s->hashes[i])
                ptr = NULL;
    } else {
        ptr = registers_decode(s, precision_of(call), ptr, end);
    }
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static void hll_release(const struct tn_agg_call *call, void *state)
{
    struct hll_state *s = state;
    tn_free(s->hashes);
    tn_free(s->registers);
    memset(state, 0, call->state_bytes);
}

static size_t hll_bytes_extra(const struct tn_agg_call *call, const void *state)
{
    const struct hll_state *s = state;
    return s->registers ? (size_t)1 << precision_of(call) : s->cap * sizeof *s->hashes;
}

static const struct tn_agg count_distinct_agg = {
    .name = "count_distinct",
    .flags = TN_AGG_STREAM,
    .args_min = 1,
    .args_max = 1,
    .bind = hll_bind,
    .init = zero_init,
    .update = hll_update,
    .merge = hll_merge,
    .final = hll_final,
    .encode = hll_encode,
    .decode = hll_decode,
    .release = hll_release,
    .bytes_extra = hll_bytes_extra,
    .help = "approximate number of different values (2^14 registers)",
};

static const struct tn_agg approx_distinct_agg = {
    .name = "approx_distinct",
    .flags = TN_AGG_QUERY,
    .args_min = 1,
    .args_max = 1,
    .params_max = 1,
    .bind = hll_bind,
    .init = zero_init,
    .update = hll_update,
    .merge = hll_merge,
    .final = hll_final,
    .encode = hll_encode,
    .decode = hll_decode,
    .release = hll_release,
    .bytes_extra = hll_bytes_extra,
    .help = "approximate number of different values; standard error 2.3 % or as given",
};

/* ---- t-digest ---- */

#define DIGEST_EXACT  512u
#define DIGEST_BUFFER 1024u
#define DIGEST_DELTA  200.0
#define DIGEST_MAX    (DIGEST_BUFFER + 512u)

struct centroid {
    double mean, weight;
};

struct digest_state {
    struct centroid *items; /* merged ones ascending, then the buffer */
    uint32_t merged, count, cap;
    uint32_t is_merged; /* some centroid stands for several values */
};

static enum tn_status percentile_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                      struct tn_err *err)
{
    (void)arena;
    enum tn_kind kind = call->arg_types[0]->kind;
    if (kind != TN_K_INTEGER && kind != TN_K_BIGINT && kind != TN_K_DOUBLE)
        return tni_agg_bad_type(call, 0, "integer, bigint or double", err);
    if (call->args_count == 2 && call->arg_types[1]->kind != TN_K_BIGINT &&
        call->arg_types[1]->kind != TN_K_INTEGER && call->arg_types[1]->kind != TN_K_DOUBLE)
        return tni_agg_bad_type(call, 1, "a number as weight", err);
    struct tn_value *p = &call->params[0];
    if (p->type->kind == TN_K_DECIMAL)
        p->d = (double)p->dec / (double)tni_pow10(p->type->scale);
    else if (p->type->kind == TN_K_INTEGER || p->type->kind == TN_K_BIGINT)
        p->d = (double)p->i;
    else if (p->type->kind != TN_K_DOUBLE)
        return tn_err_set(err, TN_E_TYPE, "'%s': the percentile must be a number", call->agg->name);
    p->type = tn_type_of(TN_K_DOUBLE);
    if (!(p->d >= 0 && p->d <= 1))
        return tn_err_at(err, TN_E_INVALID, "INVALID_FUNCTION_ARGUMENT", 0, 0,
                         "'%s': percentile must be in [0, 1], not %g", call->agg->name, p->d);
    call->type = tn_type_of(kind == TN_K_DOUBLE ? TN_K_DOUBLE : TN_K_BIGINT);
    call->state_bytes = sizeof(struct digest_state);
    return TN_OK;
}

static int cmp_centroids(const void *a, const void *b)
{
    double x = ((const struct centroid *)a)->mean, y = ((const struct centroid *)b)->mean;
    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

/* Largest quantile a centroid that starts at q may reach: k1 scale. */
static double digest_limit(double q)
{
    double k = DIGEST_DELTA / (2 * M_PI) * asin(2 * q - 1) + 1;
    double angle = k * 2 * M_PI / DIGEST_DELTA;
    return angle >= M_PI / 2 ? 1 : (sin(angle) + 1) / 2;
}

static void digest_sort(struct digest_state *s)
{
    if (s->count > s->merged)
        qsort(s->items, s->count, sizeof *s->items, cmp_centroids);
    s->merged = s->count;
}

static void digest_compress(struct digest_state *s)
{
    double total = 0, before = 0;
    digest_sort(s);
    for (uint32_t i = 0; i < s->count; i++)
        total += s->items[i].weight;
    uint32_t to = 0;
    double limit = digest_limit(0) * total;
    for (uint32_t i = 1; i < s->count; i++) {
        struct centroid *c = &s->items[to], next = s->items[i];
        if (before + c->weight + next.weight <= limit && !isnan(next.mean)) {
            c->mean += (next.mean - c->mean) * next.weight / (c->weight + next.weight);
            c->weight += next.weight;
            continue;
        }
        before += c->weight;
        limit = digest_limit(before / total) * total;
        s->items[++to] = next;
    }
    s->is_merged |= to + 1 < s->count;
    s->count = s->merged = s->count ? to + 1 : 0;
}

static void digest_add(struct digest_state *s, double value, double weight)
{
    if (!(weight > 0))
        return;
    uint32_t max = s->is_merged ? DIGEST_MAX : DIGEST_EXACT;
    if (s->count >= max)
        digest_compress(s);
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 8;
        s->items = tn_realloc(s->items, s->cap * sizeof *s->items);
    }
    s->items[s->count++] = (struct centroid){value, weight};
}

static double digest_number(const struct tn_column *col, uint32_t row)
{
    return col->type->kind == TN_K_DOUBLE ? tn_column_f64(col, row) : (double)tni_int_at(col, row);
}

static void percentile_update(const struct tn_agg_call *call, const struct tn_column *args,
                              const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    for (uint32_t i = 0; i < rows_count; i++) {
        uint32_t row = tni_row(rows, i);
        double weight = call->args_count == 2 ? digest_number(&args[1], row) : 1;
        digest_add(states[i], digest_number(&args[0], row), weight);
    }
}

static void percentile_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    (void)call;
    struct digest_state *a = to;
    const struct digest_state *b = from;
    if (b->is_merged)
        a->is_merged = 1;
    for (uint32_t i = 0; i < b->count; i++)
        digest_add(a, b->items[i].mean, b->items[i].weight);
}

/* Value at quantile q of sorted centroids. Exact values: the first whose weights up to it exceed q
 * × total. */
static double digest_value(const struct digest_state *s, double q)
{
    double total = 0, sum = 0;
    for (uint32_t i = 0; i < s->count; i++)
        total += s->items[i].weight;
    double want = q * total;
    if (!s->is_merged) {
        for (uint32_t i = 0; i < s->count; i++) {
            sum += s->items[i].weight;
            if (sum > want)
                return s->items[i].mean;
        }
        return s->items[s->count - 1].mean;
    }
    double left = 0, left_mean = s->items[0].mean; /* middle of the centroid before */
    for (uint32_t i = 0; i < s->count; i++) {
        double middle = sum + s->items[i].weight / 2;
        if (want < middle)
            return middle == left ? s->items[i].mean
                                  : left_mean + (s->items[i].mean - left_mean) * (want - left) /
                                                    (middle - left);
        left = middle;
        left_mean = s->items[i].mean;
        sum += s->items[i].weight;
    }
    return s->items[s->count - 1].mean;
}

static void percentile_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                             struct tn_column *ret_col, struct tn_arena *arena)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    for (uint32_t i = 0; i < count; i++) {
        struct digest_state *s = states[i];
        if (!s->count) {
            tn_column_set_null(ret_col, i, arena);
            continue;
        }
        digest_sort(s);
        double value = digest_value(s, call->params[0].d);
        if (call->type->kind == TN_K_DOUBLE)
            ((double *)ret_col->values)[i] = value;
        else
            ((int64_t *)ret_col->values)[i] = (int64_t)llround(value);
    }
}

static void percentile_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    (void)call;
    const struct digest_state *s = state;
    tn_buf_add_byte(buf, (char)s->is_merged);
    tn_buf_add_varint(buf, s->count);
    tn_buf_add(buf, s->items, s->count * sizeof *s->items);
}

static enum tn_status percentile_decode(const struct tn_agg_call *call, void *state,
                                        const char *ptr, const char *end, const char **ret_next)
{
    (void)call;
    struct digest_state *s = state;
    uint8_t is_merged = 0;
    uint64_t count = 0;
    ptr = tni_get_raw(ptr, end, &is_merged, 1);
    ptr = ptr ? tn_varint_read(ptr, end, &count) : NULL;
    if (!ptr || count > DIGEST_MAX + 1)
        return TN_E_CORRUPT;
    s->count = s->cap = (uint32_t)count;
    s->items = s->cap ? tn_alloc_array(s->cap, sizeof *s->items) : NULL;
    s->is_merged = is_merged != 0;
    ptr = tni_get_raw(ptr, end, s->items, s->count * sizeof *s->items);
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static void percentile_release(const struct tn_agg_call *call, void *state)
{
    tn_free(((struct digest_state *)state)->items);
    memset(state, 0, call->state_bytes);
}

static size_t percentile_bytes_extra(const struct tn_agg_call *call, const void *state)
{
    (void)call;
    const struct digest_state *s = state;
    return s->cap * sizeof *s->items;
}

static const struct tn_agg approx_percentile_agg = {
    .name = "approx_percentile",
    .flags = TN_AGG_QUERY,
    .args_min = 1,
    .args_max = 2,
    .params_min = 1,
    .params_max = 1,
    .bind = percentile_bind,
    .init = zero_init,
    .update = percentile_update,
    .merge = percentile_merge,
    .final = percentile_final,
    .encode = percentile_encode,
    .decode = percentile_decode,
    .release = percentile_release,
    .bytes_extra = percentile_bytes_extra,
    .help = "approximate value at a percentile; (x, p) or (x, weight, p); exact up to 512 rows",
};

const struct tn_agg *const tni_aggs_sketch[] = {&count_distinct_agg, &approx_distinct_agg,
                                                &approx_percentile_agg, NULL};
