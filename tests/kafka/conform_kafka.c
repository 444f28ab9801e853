/* The Kafka log passes the log port's conformance test against a real broker. Usage: conform_kafka
 * BOOTSTRAP [SEED]; the broker's topics are deleted. */
#include <stdlib.h>
#include <unistd.h>

#include "connectors/kafka_log.h"
#include "stream/base/logline.h"
#include "tests/support/test_clock.h"
#include "tests/check.h"
#include "tests/support/conform_log.h"

static struct tn_opt_pair bootstrap = {"bootstrap.servers", NULL, NULL};
static char application_id[64];
static int opened_count;

static void log_line(enum tn_log_level level, const char *component, const char *line)
{
    (void)level;
    fprintf(stderr, "%s: %s\n", component, line);
}

static struct tn_log *open_again(void)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_log *log = NULL;
    struct tn_kafka_config config = {.application_id = application_id,
                                     .instance_id = "conform",
                                     .properties = &bootstrap,
                                     .clock = &test_clock};
    CHECK_OK(tn_kafka_log_open(&config, &log, &err), &err);
    if (!log)
        exit(1);
    return log;
}

static char names[64][TN_TOPIC_NAME_MAX + 1];
static int names_count;

static bool note_name(void *ctx, const struct tn_topic *topic)
{
    (void)ctx;
    if (names_count < 64)
        memcpy(names[names_count++], topic->name, sizeof topic->name);
    return true;
}

/* Fresh: another application id, and no topic of an earlier case. */
static struct tn_log *log_open(void *ctx)
{
    (void)ctx;
    struct tn_err err = TN_ERR_INIT;
    snprintf(application_id, sizeof application_id, "conform-%d-%d", (int)getpid(), opened_count++);
    struct tn_log *log = open_again();
    names_count = 0;
    CHECK_OK(log->type->topic_each(log, note_name, NULL, &err), &err);
    for (int i = 0; i < names_count; i++)
        CHECK_OK(log->type->topic_delete(log, names[i], &err), &err);
    return log;
}

static struct tn_log *log_reopen(void *ctx, struct tn_log *log)
{
    (void)ctx;
    log->type->close(log);
    return open_again();
}

static void log_close(void *ctx, struct tn_log *log)
{
    (void)ctx;
    log->type->close(log);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: conform_kafka BOOTSTRAP [SEED]\n");
        return 2;
    }
    bootstrap.value = argv[1];
    tn_log_set_sink(log_line, TN_LOG_WARN);
    struct conform_log_factory factory = {.name = "kafka",
                                          .open = log_open,
                                          .reopen = log_reopen,
                                          .close = log_close,
                                          .seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1,
                                          .has_threads = true,
                                          .has_holes = true,
                                          .is_remote = true};
    CHECK_INT(conform_log(&factory), 0);
    return TN_TEST_END();
}
