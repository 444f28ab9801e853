/* Parallel PUTs of small objects to a real S3 server: a bare libcurl loop (the reference) and the
 * adapter, each in turn. Usage: bench_s3 bare|adapter URL COUNT PARALLEL. Prints objects per second
 * of wall time and CPU seconds of this process. Server and keys come from the environment, as
 * tests/support/radosgw.py sets them.
 *
 * The bare loop is what one writes first: one multi handle, PARALLEL easy handles, each request
 * signed and its body hashed, no retries, no checks beyond the status, poll until all are done.
 */
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "connectors/object_url.h"
#include "connectors/s3_sign.h"
#include "stream/base/mem.h"
#include "tests/support/test_clock.h"

#define BODY_FORMAT "{\"count\":%d,\"songName\":\"Into The Unknown\"}"

struct run {
    const char *url;
    int count, parallel, sent, ended, failed;
};

static void make_key(char *key, size_t size, const char *prefix, int number)
{
    snprintf(key, size, "%schart.json/20261121-1200%02d%03d-0123456789ABCDE-0001%012X", prefix,
             number / 1000 % 60, number % 1000, (unsigned)number);
}

/* ---- bare ---- */

struct transfer {
    CURL *easy;
    struct curl_slist *headers;
    char body[128];
    char url[1024];
};

static void prepare(struct run *run, struct transfer *transfer, struct tni_sign_key *key,
                    struct tn_buf *scratch)
{
    char path[512], name[256], hash[TNI_SHA256_HEX], date[TNI_SIGN_DATE], line[1024];
    const char *endpoint = getenv("AWS_ENDPOINT_URL_S3"), *host = strstr(endpoint, "://") + 3;
    struct tn_buf authorization, target;
    struct tn_err err;
    int len = snprintf(transfer->body, sizeof transfer->body, BODY_FORMAT, run->sent);
    make_key(name, sizeof name, "bare/", run->sent++);
    snprintf(path, sizeof path, "/%s/%s", strstr(run->url, "://") + 3, name);
    tni_sha256_hex((struct tn_str){transfer->body, (size_t)len}, hash);
    struct tni_pair headers[] = {{TN_STR("host"), tn_str_of(host)},
                                 {TN_STR("x-amz-content-sha256"), tn_str_of(hash)},
                                 {TN_STR("x-amz-date"), {date, TNI_SIGN_DATE - 1}}};
    struct tni_sign_input input = {.method = "PUT",
                                   .path = path,
                                   .headers = headers,
                                   .headers_count = 3,
                                   .payload = hash,
                                   .access_key = getenv("AWS_ACCESS_KEY_ID"),
                                   .secret_key = getenv("AWS_SECRET_ACCESS_KEY"),
                                   .region = "us-east-1",
                                   .service = "s3",
                                   .time_s = test_wall_ms(&test_clock) / 1000};
    tn_buf_init(&authorization, 4096);
    tn_buf_init(&target, 4096);
    tni_sign_date(input.time_s, date);
    TN_ASSERT(tni_s3_sign(&input, key, scratch, &authorization, NULL, &err) == TN_OK);
    tni_sign_target(&input, &target);
    snprintf(transfer->url, sizeof transfer->url, "%s%s", endpoint, tn_buf_cstr(&target));
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
    for (int i = 1; i < 3; i++) {
        snprintf(line, sizeof line, "%.*s: %.*s", TN_STR_FMT(headers[i].name),
                 TN_STR_FMT(headers[i].value));
        transfer->headers = curl_slist_append(transfer->headers, line);
    }
    snprintf(line, sizeof line, "Authorization: %s", tn_buf_cstr(&authorization));
    transfer->headers = curl_slist_append(transfer->headers, line);
    transfer->headers = curl_slist_append(transfer->headers, "Expect:");
    transfer->headers = curl_slist_append(transfer->headers, "Content-Type:");
    curl_easy_setopt(transfer->easy, CURLOPT_URL, transfer->url);
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE, (long)len);
    curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, transfer->body);
    curl_easy_setopt(transfer->easy, CURLOPT_CUSTOMREQUEST, "PUT");
    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    tn_buf_release(&authorization);
    tn_buf_release(&target);
}

static void run_bare(struct run *run)
{
    CURLM *multi = curl_multi_init();
    struct transfer *transfers = tn_alloc_array((size_t)run->parallel, sizeof *transfers);
    struct tni_sign_key key = {0};
    struct tn_buf scratch;
    int running, left;
    tn_buf_init(&scratch, 64 << 10);
    for (int i = 0; i < run->parallel && run->sent < run->count; i++) {
        transfers[i].easy = curl_easy_init();
        prepare(run, &transfers[i], &key, &scratch);
        curl_multi_add_handle(multi, transfers[i].easy);
    }
    while (run->ended < run->count) {
        curl_multi_perform(multi, &running);
        for (CURLMsg *msg; (msg = curl_multi_info_read(multi, &left)) != NULL;) {
            struct transfer *transfer = NULL;
            long status = 0;
            curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
            curl_easy_getinfo(msg->easy_handle, CURLINFO_RESPONSE_CODE, &status);
            run->failed += status != 200;
            run->ended++;
            curl_multi_remove_handle(multi, transfer->easy);
            if (run->sent == run->count)
                continue;
            prepare(run, transfer, &key, &scratch);
            curl_multi_add_handle(multi, transfer->easy);
        }
        if (run->ended < run->count)
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    for (int i = 0; i < run->parallel; i++) {
        curl_slist_free_all(transfers[i].headers);
        curl_easy_cleanup(transfers[i].easy);
    }
    curl_multi_cleanup(multi);
    tn_buf_release(&scratch);
    tn_free(transfers);
}

/* ---- adapter ---- */

struct slot {
    struct tn_object_request request;
    char key[256], body[128];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_ended = PTHREAD_COND_INITIALIZER;
static struct tn_object_store *store;
static struct run *adapter_run;

static void on_done(struct tn_object_request *request);

static void submit(struct slot *slot, int number)
{
    int len = snprintf(slot->body, sizeof slot->body, BODY_FORMAT, number);
    make_key(slot->key, sizeof slot->key, "adapter/", number);
    slot->request = (struct tn_object_request){.op = TN_OBJECT_PUT,
                                               .key = slot->key,
                                               .body = {slot->body, (size_t)len},
                                               .done = on_done,
                                               .ctx = slot};
    store->type->submit(store, &slot->request);
}

static void on_done(struct tn_object_request *request)
{
    struct run *run = adapter_run;
    pthread_mutex_lock(&lock);
    run->failed += request->status != TN_OK;
    int number = run->sent < run->count ? run->sent++ : -1;
    if (++run->ended == run->count)
        pthread_cond_signal(&all_ended);
    pthread_mutex_unlock(&lock);
    if (number >= 0)
        submit(request->ctx, number);
}

static void run_adapter(struct run *run)
{
    struct tn_s3_options options;
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    struct slot *slots = tn_alloc_array((size_t)run->parallel, sizeof *slots);
    tn_arena_init(&arena, 0);
    tn_opt_defaults(&tn_s3_opts, &options, &arena);
    options.connections = run->parallel;
    struct tn_object_stores *stores = tn_object_stores_new(&options, &test_clock, NULL);
    TN_ASSERT(tn_object_store_open(stores, run->url, NULL, &store, &err) == TN_OK);
    adapter_run = run;
    run->sent = run->parallel < run->count ? run->parallel : run->count;
    for (int i = 0, count = run->sent; i < count; i++)
        submit(&slots[i], i);
    pthread_mutex_lock(&lock);
    while (run->ended < run->count)
        pthread_cond_wait(&all_ended, &lock);
    pthread_mutex_unlock(&lock);
    tn_object_store_close(store);
    tn_object_stores_free(stores);
    tn_arena_release(&arena);
    tn_free(slots);
}

int main(int argc, char **argv)
{
    struct rusage usage;
    if (argc != 5)
        return 2;
    struct run run = {.url = argv[2], .count = atoi(argv[3]), .parallel = atoi(argv[4])};
    int64_t started_ns = test_mono_ns(&test_clock);
    if (strcmp(argv[1], "bare") == 0)
        run_bare(&run);
    else
        run_adapter(&run);
    double seconds = (double)(test_mono_ns(&test_clock) - started_ns) / 1e9;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("%.1f %.3f\n", (double)run.count / seconds, cpu);
    return run.failed ? 1 : 0;
}
