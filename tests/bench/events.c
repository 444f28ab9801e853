/* Event generator and small timing helpers of the benchmarks. */
#include "tests/bench/events.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "stream/base/hash.h"

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static double unit_random(uint64_t *state)
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

struct picker {
    const struct events_spec *spec;
    double *cumulative; /* NULL = uniform */
};

static uint32_t pick_key(const struct picker *picker, uint64_t *state)
{
    if (!picker->cumulative)
        return (uint32_t)(next_random(state) % picker->spec->keys_count);
    double u = unit_random(state);
    uint32_t low = 0, high = picker->spec->keys_count - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (picker->cumulative[middle] < u)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void make_picker(struct picker *picker, const struct events_spec *spec)
{
    *picker = (struct picker){.spec = spec};
    if (spec->zipf <= 0)
        return;
    picker->cumulative = malloc(spec->keys_count * sizeof *picker->cumulative);
    double sum = 0;
    for (uint32_t i = 0; i < spec->keys_count; i++)
        picker->cumulative[i] = sum += pow(i + 1, -spec->zipf);
    for (uint32_t i = 0; i < spec->keys_count; i++)
        picker->cumulative[i] /= sum;
}

#define MEMBERS 5

static int write_member(char *to, size_t cap, int member, uint32_t key, uint64_t random)
{
    bool is_escaped = random % 10 == 0;
    switch (member) {
    case 0: return snprintf(to, cap, "\"song\":\"song-%u\"", key);
    case 1: return snprintf(to, cap, "\"ms\":%u", (unsigned)(random >> 40) % 400000u);
    case 2: return snprintf(to, cap, "\"user\":\"u%u\"", (unsigned)(random >> 20) % 5000u);
    case 3:
        return snprintf(to, cap, "\"dev\":{\"os\":\"linux\",\"v\":[%u,3]}",
                        (unsigned)(random >> 8) % 9u);
    default:
        return snprintf(to, cap,
                        is_escaped ? "\"title\":\"A \\\"quoted\\\" \\u00e9\""
                                   : "\"title\":\"Some plain title\"");
    }
}

static size_t write_event(char *to, size_t cap, uint32_t key, uint64_t *state, bool is_malformed,
                          bool is_misfit)
{
    int order[MEMBERS] = {0, 1, 2, 3, 4};
    uint64_t random = next_random(state), value = next_random(state);
    size_t len = 0;
    for (int i = MEMBERS - 1; i > 0; i--, random >>= 8) {
        int j = (int)(random % (uint64_t)(i + 1)), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    to[len++] = '{';
    for (int i = 0; i < MEMBERS; i++) {
        if (i)
            to[len++] = ',';
        if (is_misfit && order[i] == 1)
            len += (size_t)snprintf(to + len, cap - len, "\"ms\":[\"?\"]");
        else
            len += (size_t)write_member(to + len, cap - len, order[i], key, value);
    }
    to[len++] = is_malformed ? ']' : '}';
    return len;
}

void events_make(const struct events_spec *spec, struct events *ret_events)
{
    const size_t cap = 200;
    struct picker picker;
    uint64_t state = spec->seed;
    make_picker(&picker, spec);
    *ret_events = (struct events){.count = spec->count};
    ret_events->bytes = malloc(spec->count * 128 + cap);
    ret_events->items = malloc(spec->count * sizeof *ret_events->items);
    size_t at = 0, room = spec->count * 128;
    for (uint64_t i = 0; i < spec->count; i++) {
        uint32_t key = pick_key(&picker, &state);
        bool is_malformed = unit_random(&state) < spec->malformed;
        if (at > room) {
            fprintf(stderr, "events are longer than planned\n");
            abort();
        }
        size_t len = write_event(ret_events->bytes + at, cap, key, &state,
                                 is_malformed && !spec->is_misfit, is_malformed && spec->is_misfit);
        ret_events->items[i] = (struct tn_str){ret_events->bytes + at, len};
        ret_events->malformed_count += is_malformed;
        at += len;
    }
    ret_events->bytes_count = at;
    free(picker.cumulative);
}

void events_make_columns(uint64_t count, struct events *ret_events)
{
    const size_t cap = 256;
    uint64_t state = 7;
    *ret_events = (struct events){.count = count};
    ret_events->bytes = malloc(count * cap);
    ret_events->items = malloc(count * sizeof *ret_events->items);
    for (uint64_t i = 0; i < count; i++) {
        char *value = ret_events->bytes + ret_events->bytes_count;
        state = tn_mix64(state, i);
        int len = snprintf(value, cap, "{\"song\":\"song-%u\",\"ms\":%u", (unsigned)(state % 10000),
                           (unsigned)(state >> 20) % 400000);
        for (unsigned c = 0; c < 10; c++)
            len += snprintf(value + len, cap - (size_t)len, ",\"c%u\":\"v%u\"", c,
                            (unsigned)(state >> (c + 3) * 4) % (20 * (c + 1)));
        value[len++] = '}';
        ret_events->items[i] = (struct tn_str){value, (size_t)len};
        ret_events->bytes_count += (uint64_t)len;
    }
}

void events_free(struct events *events)
{
    free(events->bytes);
    free(events->items);
}

static double seconds_of(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

double bench_cpu(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

double bench_wall(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

void bench_report(const char *bench, const char *metric, const char *unit, double tarn,
                  double reference, const char *reference_name)
{
    const char *path = getenv("TARN_BENCH_JSON");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file)
        return;
    fprintf(file,
            "{\"bench\":\"%s\",\"metric\":\"%s\",\"unit\":\"%s\",\"tarn\":%.6g,\"reference\":",
            bench, metric, unit, tarn);
    if (reference_name)
        fprintf(file, "%.6g,\"reference_name\":\"%s\",\"ratio\":%.4g}\n", reference, reference_name,
                tarn / reference);
    else
        fprintf(file, "null,\"reference_name\":null,\"ratio\":null}\n");
    fclose(file);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_spread(double *values, int n, double *ret_min, double *ret_median, double *ret_max)
{
    qsort(values, (size_t)n, sizeof *values, compare);
    *ret_min = values[0];
    *ret_median = values[n / 2];
    *ret_max = values[n - 1];
}
