/* Object store requests from a pipe, for tests that spoil them on the way: one line in, one line
 * out. Usage: s3_tool URL [NAME=VALUE of s3.* …] [clock.offset.ms=N]
 *
 *   put KEY BODY · absent KEY BODY · get KEY OFFSET LENGTH · head KEY · list PREFIX · remove KEY
 *   upload KEY (parts of 5 MiB and 4 bytes) · start KEY · part KEY ID NUMBER · finish KEY ID ETAG
 *   retries REASON
 * Answer: STATUS TRIES RETRIABLE TEXT, with TEXT the result, or "message | hint".
 */
#include <stdlib.h>

#include "connectors/object_url.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"
#include "tests/check.h"
#include "tests/support/test_clock.h"

static int64_t offset_ms;
static struct tn_object_store *store;
static struct tn_metrics *metrics;

static int64_t shifted_wall_ms(struct tn_clock *clock)
{
    (void)clock;
    return test_wall_ms(&test_clock) + offset_ms;
}

static struct tn_clock shifted = {.wall_ms = shifted_wall_ms, .mono_ns = test_mono_ns};

static void answer(struct tn_object_request *request, const char *text)
{
    const struct tn_err *err = &request->err;
    if (tn_failed(request->status))
        printf("%s %d %d %s | %s\n", tn_status_name(request->status), request->tries,
               err->retriable, err->message, err->hint);
    else
        printf("%s %d 0 %s\n", tn_status_name(request->status), request->tries, text);
    fflush(stdout);
}

static bool on_key(void *ctx, const struct tn_object_info *info)
{
    tn_buf_printf(ctx, "%.*s:%lld ", TN_STR_FMT(info->key), (long long)info->size);
    return true;
}

static enum tn_status do_wait(struct tn_object_request *request)
{
    return tn_object_wait(store, request, NULL);
}

/* The last request's answer is the answer. */
static void upload(const char *key)
{
    char id[TN_OBJECT_UPLOAD_MAX], etags[2][TN_OBJECT_ETAG_MAX];
    char *part = tn_alloc_raw(TN_OBJECT_PART_BYTES_MIN);
    memset(part, 'p', TN_OBJECT_PART_BYTES_MIN);
    struct tn_object_request request = {.op = TN_OBJECT_UPLOAD_START, .key = key, .upload_id = id};
    enum tn_status st = do_wait(&request);
    for (int i = 0; i < 2 && st == TN_OK; i++) {
        request = (struct tn_object_request){
            .op = TN_OBJECT_UPLOAD_PART, .key = key, .upload_id = id, .part = i + 1};
        request.body = i ? TN_STR("tail") : (struct tn_str){part, TN_OBJECT_PART_BYTES_MIN};
        st = do_wait(&request);
        memcpy(etags[i], request.info.etag, sizeof etags[i]);
    }
    if (st == TN_OK) {
        request = (struct tn_object_request){.op = TN_OBJECT_UPLOAD_FINISH,
                                             .key = key,
                                             .upload_id = id,
                                             .etags = (const char(*)[TN_OBJECT_ETAG_MAX])etags,
                                             .parts_count = 2};
        (void)do_wait(&request);
    }
    answer(&request, request.info.etag);
    tn_free(part);
}

static void one_request(const char *verb, char *key, char *second, char *third)
{
    struct tn_buf text;
    char id[TN_OBJECT_UPLOAD_MAX] = "", etags[1][TN_OBJECT_ETAG_MAX] = {""};
    struct tn_object_request request = {.key = key, .ret_body = &text, .upload_id = id};
    tn_buf_init(&text, 1 << 20);
    if (strcmp(verb, "put") == 0 || strcmp(verb, "absent") == 0) {
        request.op = TN_OBJECT_PUT;
        request.is_if_absent = verb[0] == 'a';
        request.body = tn_str_of(second);
    } else if (strcmp(verb, "get") == 0) {
        request.op = TN_OBJECT_GET;
        request.offset = atoll(second);
        request.length = atoll(third);
    } else if (strcmp(verb, "list") == 0) {
        request.op = TN_OBJECT_LIST;
        request.each = on_key;
        request.each_ctx = &text;
        request.ret_body = NULL;
    } else if (strcmp(verb, "start") == 0) {
        request.op = TN_OBJECT_UPLOAD_START;
    } else if (strcmp(verb, "part") == 0) {
        request.op = TN_OBJECT_UPLOAD_PART;
        request.upload_id = second;
        request.part = atoi(third);
        request.body = TN_STR("part");
    } else if (strcmp(verb, "finish") == 0) {
        request.op = TN_OBJECT_UPLOAD_FINISH;
        request.upload_id = second;
        snprintf(etags[0], sizeof etags[0], "%s", third);
        request.etags = (const char(*)[TN_OBJECT_ETAG_MAX])etags;
        request.parts_count = 1;
    } else {
        request.op = strcmp(verb, "remove") == 0 ? TN_OBJECT_REMOVE : TN_OBJECT_HEAD;
    }
    (void)do_wait(&request);
    if (request.op == TN_OBJECT_UPLOAD_START)
        tn_buf_add_text(&text, id);
    if (request.op == TN_OBJECT_UPLOAD_PART)
        tn_buf_add_text(&text, request.info.etag);
    if (request.op == TN_OBJECT_HEAD)
        tn_buf_add_i64(&text, request.info.size);
    answer(&request, tn_buf_cstr(&text));
    tn_buf_release(&text);
}

static bool on_metric(void *ctx, const struct tn_metric_desc *desc, const char *label,
                      const struct tn_metric *metric)
{
    if (strcmp(desc->name, "tarn_s3_retries_total") == 0 && strcmp(label, ctx) == 0)
        printf("OK 0 0 %lld\n", (long long)tn_metric_value(metric));
    fflush(stdout);
    return true;
}

static void serve(char *line)
{
    char none[1] = "", *words[4] = {none, none, none, none}, *save = NULL;
    int count = 0;
    for (char *word = strtok_r(line, " \n", &save); word && count < 4;
         word = strtok_r(NULL, " \n", &save))
        words[count++] = word;
    if (strcmp(words[0], "upload") == 0)
        upload(words[1]);
    else if (strcmp(words[0], "retries") == 0)
        tn_metrics_each(metrics, on_metric, words[1]);
    else if (count)
        one_request(words[0], words[1], words[2], words[3]);
}

static void on_line(enum tn_log_level level, const char *component, const char *text)
{
    (void)level;
    fprintf(stderr, "%s: %s\n", component, text);
}

int main(int argc, char **argv)
{
    struct tn_s3_options options;
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    char line[4096];
    TN_ASSERT(argc >= 2);
    tn_log_set_sink(on_line, TN_LOG_INFO);
    tn_arena_init(&arena, 0);
    tn_opt_defaults(&tn_s3_opts, &options, &arena);
    for (int i = 2; i < argc; i++) {
        const char *value = strchr(argv[i], '=') + 1;
        struct tn_str name = {argv[i], (size_t)(value - argv[i]) - 1};
        if (tn_str_eq(name, TN_STR("clock.offset.ms")))
            offset_ms = atoll(value);
        else
            CHECK_OK(tn_opt_set(&tn_s3_opts, &options, name, tn_str_of(value), &arena, &err), &err);
    }
    metrics = tn_metrics_new();
    struct tn_object_stores *stores = tn_object_stores_new(&options, &shifted, metrics);
    if (tn_failed(tn_object_store_open(stores, argv[1], NULL, &store, &err))) {
        printf("%s 0 0 %s | %s\n", tn_status_name(err.code), err.message, err.hint);
    } else {
        printf("OK 0 0 open\n");
        fflush(stdout);
        while (fgets(line, sizeof line, stdin))
            serve(line);
        tn_object_store_close(store);
    }
    tn_object_stores_free(stores);
    tn_metrics_free(metrics);
    tn_arena_release(&arena);
    return 0;
}
