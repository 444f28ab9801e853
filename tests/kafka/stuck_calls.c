/* A library that is loaded before librdkafka (LD_PRELOAD) and lets calls of it not return: what
 * librdkafka does while no broker is there to name a coordinator, at a moment of the test's choice.
 *
 * TARN_STUCK="send_offsets_to_transaction:5" holds the fifth call of that function for
 * TARN_STUCK_SECONDS (60 by default), then goes on with it. @thread any
 */
#include <dlfcn.h>
#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int calls[3];

static void maybe_hold(int number, const char *name)
{
    const char *wanted = getenv("TARN_STUCK"), *seconds = getenv("TARN_STUCK_SECONDS");
    size_t len = strlen(name);
    if (!wanted || strncmp(wanted, name, len) != 0 || wanted[len] != ':')
        return;
    if (atomic_fetch_add(&calls[number], 1) + 1 != atoi(wanted + len + 1))
        return;
    fprintf(stderr, "stuck_calls: %s is held\n", name);
    sleep(seconds ? (unsigned)atoi(seconds) : 60);
    fprintf(stderr, "stuck_calls: %s goes on\n", name);
}

static void real(void *ret_function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(ret_function, &found, sizeof found);
}

rd_kafka_error_t *rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *meta, int timeout_ms)
{
    rd_kafka_error_t *(*next)(rd_kafka_t *, const rd_kafka_topic_partition_list_t *,
                              const rd_kafka_consumer_group_metadata_t *, int);
    maybe_hold(0, "send_offsets_to_transaction");
    real(&next, __func__);
    return next(rk, offsets, meta, timeout_ms);
}

rd_kafka_error_t *rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms)
{
    rd_kafka_error_t *(*next)(rd_kafka_t *, int);
    maybe_hold(1, "commit_transaction");
    real(&next, __func__);
    return next(rk, timeout_ms);
}

rd_kafka_error_t *rd_kafka_init_transactions(rd_kafka_t *rk, int timeout_ms)
{
    rd_kafka_error_t *(*next)(rd_kafka_t *, int);
    maybe_hold(2, "init_transactions");
    real(&next, __func__);
    return next(rk, timeout_ms);
}
