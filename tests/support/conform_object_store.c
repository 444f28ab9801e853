/* The cases of conform_object_store.h: whole objects, ranges, conditional puts raced by several
 * writers, listing in byte order, multipart, names that must be refused. */
#include "tests/support/conform_object_store.h"

#include <pthread.h>
#include <stdatomic.h>

#include "stream/base/mem.h"
#include "tests/check.h"

#define DEADLINE_MS 10000
#define RACES       25
#define PART_BYTES  ((size_t)5 << 20)

static struct tn_object_store *store;
static struct tn_err err;

static enum tn_status put(const char *key, const char *body, bool is_if_absent)
{
    return tn_object_put(store, key, tn_str_of(body), is_if_absent, DEADLINE_MS, &err);
}

static void check_get(const char *key, int64_t offset, int64_t length, const char *want)
{
    struct tn_buf body;
    tn_buf_init(&body, 1 << 20);
    CHECK_OK(tn_object_get(store, key, offset, length, &body, DEADLINE_MS, &err), &err);
    CHECK_STR(tn_buf_str(&body), want);
    tn_buf_release(&body);
}

static enum tn_status get_status(const char *key)
{
    struct tn_buf body;
    tn_buf_init(&body, 1 << 20);
    enum tn_status st = tn_object_get(store, key, 0, -1, &body, DEADLINE_MS, &err);
    tn_buf_release(&body);
    return st;
}

static void case_objects(void)
{
    struct tn_object_info info = {0}, later = {0};
    CHECK_INT(put("one", "hello", false), TN_OK);
    check_get("one", 0, -1, "hello");
    check_get("one", 1, 3, "ell");
    check_get("one", 4, 100, "o");
    check_get("one", 5, -1, "");
    CHECK_OK(tn_object_head(store, "one", &info, DEADLINE_MS, &err), &err);
    CHECK(info.size == 5 && info.modified_ms > 0 && info.etag[0]);
    CHECK_INT(put("one", "replaced", false), TN_OK);
    check_get("one", 0, -1, "replaced");
    CHECK_OK(tn_object_head(store, "one", &later, DEADLINE_MS, &err), &err);
    CHECK(strcmp(info.etag, later.etag) != 0);
    CHECK_INT(put("empty", "", false), TN_OK);
    check_get("empty", 0, -1, "");
    CHECK_INT(put("deep/er/and/deeper", "x", false), TN_OK);
    check_get("deep/er/and/deeper", 0, -1, "x");
    CHECK_INT(get_status("absent"), TN_NOT_FOUND);
    CHECK_INT(get_status("deep/absent/x"), TN_NOT_FOUND);
    CHECK_INT(get_status("deep/er"), TN_NOT_FOUND);
    CHECK_INT(tn_object_head(store, "absent", &info, DEADLINE_MS, &err), TN_NOT_FOUND);
    CHECK_INT(tn_object_remove(store, "one", DEADLINE_MS, &err), TN_OK);
    CHECK_INT(tn_object_remove(store, "one", DEADLINE_MS, &err), TN_OK);
    CHECK_INT(get_status("one"), TN_NOT_FOUND);
}

static void case_if_absent(void)
{
    CHECK_INT(put("log/0", "first", true), TN_OK);
    CHECK_INT(put("log/0", "second", true), TN_E_EXISTS);
    check_get("log/0", 0, -1, "first");
    CHECK_INT(tn_object_remove(store, "log/0", DEADLINE_MS, &err), TN_OK);
    CHECK_INT(put("log/0", "again", true), TN_OK);
}

/* ---- race ---- */

struct writer {
    const struct conform_object_store_factory *factory;
    int number;
    atomic_int *winners; /* RACES */
    pthread_barrier_t *barrier;
};

static void *writer_main(void *arg)
{
    struct writer *writer = arg;
    struct tn_object_store *own = writer->factory->open(writer->factory->ctx);
    char key[64], body[64];
    for (int i = 0; i < RACES; i++) {
        struct tn_err mine = TN_ERR_INIT;
        snprintf(key, sizeof key, "race/%d", i);
        snprintf(body, sizeof body, "writer %d", writer->number);
        pthread_barrier_wait(writer->barrier);
        enum tn_status st = tn_object_put(own, key, tn_str_of(body), true, DEADLINE_MS, &mine);
        if (st == TN_OK)
            atomic_fetch_add(&writer->winners[i], 1 + (writer->number << 8));
        else if (st != TN_E_EXISTS)
            atomic_fetch_add(&writer->winners[i], 100);
    }
    tn_object_store_close(own);
    return NULL;
}

static void case_race(const struct conform_object_store_factory *factory)
{
    enum { WRITERS_MAX = 16 };
    int count = factory->writers_count ? factory->writers_count : 8;
    atomic_int winners[RACES];
    pthread_barrier_t barrier;
    pthread_t threads[WRITERS_MAX];
    struct writer writers[WRITERS_MAX];
    TN_ASSERT(count <= WRITERS_MAX);
    for (int i = 0; i < RACES; i++)
        atomic_init(&winners[i], 0);
    pthread_barrier_init(&barrier, NULL, (unsigned)count);
    for (int i = 0; i < count; i++) {
        writers[i] = (struct writer){factory, i, winners, &barrier};
        pthread_create(&threads[i], NULL, writer_main, &writers[i]);
    }
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    for (int i = 0; i < RACES; i++) {
        char key[64], body[64];
        int won = atomic_load(&winners[i]);
        CHECK_INT(won & 0xff, 1); /* exactly one, and nobody failed otherwise */
        snprintf(key, sizeof key, "race/%d", i);
        snprintf(body, sizeof body, "writer %d", won >> 8);
        check_get(key, 0, -1, body);
    }
}

/* ---- listing ---- */

struct listed {
    char text[1024];
    int left;
};

static bool on_object(void *ctx, const struct tn_object_info *info)
{
    struct listed *listed = ctx;
    size_t len = strlen(listed->text);
    snprintf(listed->text + len, sizeof listed->text - len, "%.*s:%lld ", TN_STR_FMT(info->key),
             (long long)info->size);
    return --listed->left > 0;
}

static void check_list(const char *prefix, const char *start_after, int max, const char *want)
{
    struct listed listed = {.text = "", .left = max};
    CHECK_OK(tn_object_list(store, prefix, start_after, on_object, &listed, DEADLINE_MS, &err),
             &err);
    CHECK_STR(tn_str_of(listed.text), want);
}

static void case_list(void)
{
    /* '.' < '/' < '0' in bytes: whole keys are sorted, not names within folders */
    static const char *const keys[] = {"l/b/2",   "l/a.txt", "l/a0", "l/a/x",
                                       "l/a/b/c", "l/b/10",  "l2"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        CHECK_INT(put(keys[i], "12", false), TN_OK);
    check_list("l/", NULL, 100, "l/a.txt:2 l/a/b/c:2 l/a/x:2 l/a0:2 l/b/10:2 l/b/2:2 ");
    check_list("l/a", "", 100, "l/a.txt:2 l/a/b/c:2 l/a/x:2 l/a0:2 ");
    check_list("l/a/", NULL, 100, "l/a/b/c:2 l/a/x:2 ");
    check_list("l/", "l/a/b/c", 100, "l/a/x:2 l/a0:2 l/b/10:2 l/b/2:2 ");
    check_list("l/", "l/a/zzz", 100, "l/a0:2 l/b/10:2 l/b/2:2 ");
    check_list("l/", "l/a/x", 2, "l/a0:2 l/b/10:2 ");
    check_list("l", "l/b/2", 100, "l2:2 log/0:5 ");
    check_list("l/b/2", NULL, 100, "l/b/2:2 ");
    check_list("nothing/", NULL, 100, "");
    check_list("l/", "m", 100, "");
}

static void case_multipart(void)
{
    char id[TN_OBJECT_UPLOAD_MAX], etags[2][TN_OBJECT_ETAG_MAX];
    struct tn_object_info info = {0};
    char *part = tn_alloc_raw(PART_BYTES);
    memset(part, 'p', PART_BYTES);
    CHECK_OK(tn_object_upload_start(store, "big", id, DEADLINE_MS, &err), &err);
    CHECK_OK(
        tn_object_upload_part(store, "big", id, 2, TN_STR("tail"), etags[1], DEADLINE_MS, &err),
        &err);
    CHECK_OK(
        tn_object_upload_part(store, "big", id, 1, TN_STR("wrong"), etags[0], DEADLINE_MS, &err),
        &err);
    /* a part may be sent again; the last one counts */
    CHECK_OK(tn_object_upload_part(store, "big", id, 1, (struct tn_str){part, PART_BYTES}, etags[0],
                                   DEADLINE_MS, &err),
             &err);
    CHECK_INT(get_status("big"), TN_NOT_FOUND);
    check_list("big", NULL, 10, "");
    CHECK_OK(tn_object_upload_finish(store, "big", id, (const char(*)[TN_OBJECT_ETAG_MAX])etags, 2,
                                     DEADLINE_MS, &err),
             &err);
    CHECK_OK(tn_object_head(store, "big", &info, DEADLINE_MS, &err), &err);
    CHECK_INT(info.size, PART_BYTES + 4);
    check_get("big", (int64_t)PART_BYTES - 1, 100, "ptail");
    CHECK_OK(tn_object_upload_start(store, "gone", id, DEADLINE_MS, &err), &err);
    CHECK_OK(tn_object_upload_part(store, "gone", id, 1, TN_STR("x"), etags[0], DEADLINE_MS, &err),
             &err);
    CHECK_OK(tn_object_upload_abort(store, "gone", id, DEADLINE_MS, &err), &err);
    CHECK(tn_failed(tn_object_upload_finish(
        store, "gone", id, (const char(*)[TN_OBJECT_ETAG_MAX])etags, 1, DEADLINE_MS, &err)));
    CHECK_INT(get_status("gone"), TN_NOT_FOUND);
    tn_free(part);
}

static void case_names(size_t key_max)
{
    char longest[TN_OBJECT_KEY_MAX + 2];
    memset(longest, 'k', sizeof longest);
    for (size_t i = 200; i < sizeof longest; i += 201)
        longest[i] = '/';
    longest[key_max + 1] = 0;
    CHECK_INT(put(longest, "x", false), TN_E_INVALID);
    longest[key_max] = 0;
    CHECK_INT(put(longest, "x", false), TN_OK);
    check_get(longest, 0, -1, "x");
    CHECK_INT(put("", "x", false), TN_E_INVALID);
    static const char *const odd[] = {"a b/c d",    "Ünïcode/☃",
                                      "q?a=b&c#d",  "per%2Fcent",
                                      "plus+star*", "type=__HIVE_DEFAULT_PARTITION__/x"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        CHECK_INT(put(odd[i], odd[i], false), TN_OK);
        check_get(odd[i], 0, -1, odd[i]);
        char want[256];
        snprintf(want, sizeof want, "%s:%zu ", odd[i], strlen(odd[i]));
        check_list(odd[i], NULL, 10, want);
    }
}

/* ---- what several requests need ---- */

struct many {
    pthread_mutex_t lock;
    pthread_cond_t done;
    int left, ok, cancelled, failed;
};

static void on_many(struct tn_object_request *request)
{
    struct many *many = request->ctx;
    pthread_mutex_lock(&many->lock);
    many->ok += request->status == TN_OK;
    many->cancelled += request->status == TN_E_CANCELLED;
    many->failed += request->status != TN_OK && request->status != TN_E_CANCELLED;
    many->left--;
    pthread_cond_signal(&many->done);
    pthread_mutex_unlock(&many->lock);
}

static void many_wait(struct many *many)
{
    pthread_mutex_lock(&many->lock);
    while (many->left)
        pthread_cond_wait(&many->done, &many->lock);
    pthread_mutex_unlock(&many->lock);
}

static void many_end(struct many *many, int ok)
{
    many_wait(many);
    CHECK_INT(many->ok, ok);
    CHECK_INT(many->failed, 0);
    pthread_cond_destroy(&many->done);
    pthread_mutex_destroy(&many->lock);
}

#define MANY_INIT(count)                                                                           \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, (count), 0, 0, 0                      \
    }

struct order {
    char last[64];
    int count;
    bool is_ordered;
};

static bool on_ordered(void *ctx, const struct tn_object_info *info)
{
    struct order *order = ctx;
    char key[64];
    snprintf(key, sizeof key, "%.*s", TN_STR_FMT(info->key));
    order->is_ordered = order->is_ordered && strcmp(order->last, key) < 0;
    memcpy(order->last, key, sizeof key);
    order->count++;
    return true;
}

/* More objects than a page of a list holds, put all at once; ranges of them read all at once. */
static void case_many(void)
{
    enum { COUNT = 1050 };
    struct tn_object_request *requests = tn_alloc_array(COUNT, sizeof *requests);
    char(*keys)[32] = tn_alloc_array(COUNT, sizeof *keys);
    struct tn_buf *bodies = tn_alloc_array(COUNT, sizeof *bodies);
    struct many puts = MANY_INIT(COUNT), gets = MANY_INIT(COUNT);
    struct order order = {.is_ordered = true};
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "many/%d/%d", i % 7, i);
        requests[i] = (struct tn_object_request){.op = TN_OBJECT_PUT,
                                                 .key = keys[i],
                                                 .body = tn_str_of(keys[i]),
                                                 .timeout_ms = 60000,
                                                 .done = on_many,
                                                 .ctx = &puts};
        store->type->submit(store, &requests[i]);
    }
    many_end(&puts, COUNT);
    CHECK_OK(tn_object_list(store, "many/", NULL, on_ordered, &order, DEADLINE_MS, &err), &err);
    CHECK_INT(order.count, COUNT);
    CHECK(order.is_ordered);
    for (int i = 0; i < COUNT; i++) {
        tn_buf_init(&bodies[i], 64);
        requests[i] = (struct tn_object_request){.op = TN_OBJECT_GET,
                                                 .key = keys[i],
                                                 .offset = 5,
                                                 .length = i % 2 ? -1 : 100,
                                                 .ret_body = &bodies[i],
                                                 .timeout_ms = 60000,
                                                 .done = on_many,
                                                 .ctx = &gets};
        store->type->submit(store, &requests[i]);
    }
    many_end(&gets, COUNT);
    int wrong = 0;
    for (int i = 0; i < COUNT; i++) {
        wrong += !tn_str_eq(tn_buf_str(&bodies[i]), tn_str_of(keys[i] + 5));
        tn_buf_release(&bodies[i]);
    }
    CHECK_INT(wrong, 0);
    tn_free(requests);
    tn_free(keys);
    tn_free(bodies);
}

/* Cancelled requests, and those a closing store still has, come back exactly once. */
static void case_cancel(const struct conform_object_store_factory *factory)
{
    enum { COUNT = 60 };
    struct tn_object_store *own = factory->open(factory->ctx);
    struct tn_object_request *requests = tn_alloc_array(COUNT, sizeof *requests);
    char keys[COUNT][32];
    struct many many = MANY_INIT(COUNT);
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "cancel/%d", i);
        requests[i] = (struct tn_object_request){.op = TN_OBJECT_PUT,
                                                 .key = keys[i],
                                                 .body = TN_STR("x"),
                                                 .done = on_many,
                                                 .ctx = &many};
    }
    struct many first = MANY_INIT(1);
    requests[0].ctx = &first;
    own->type->submit(own, &requests[0]);
    pthread_mutex_lock(&first.lock); /* done has not been called: cancelling is allowed */
    if (first.left)
        own->type->cancel(own, &requests[0]);
    pthread_mutex_unlock(&first.lock);
    many_wait(&first);
    CHECK_INT(first.ok + first.cancelled, 1);
    many.left = COUNT - 1;
    for (int i = 1; i < COUNT; i++)
        own->type->submit(own, &requests[i]);
    tn_object_store_close(own);
    CHECK_INT(many.left, 0);
    CHECK_INT(many.ok + many.cancelled, COUNT - 1);
    tn_free(requests);
}

/* ---- a log that several writers append to ---- */

#define LOG_WRITERS 7
#define LOG_EACH    12

static void *appender_main(void *arg)
{
    struct writer *writer = arg;
    struct tn_object_store *own = writer->factory->open(writer->factory->ctx);
    char key[64], body[64];
    int version = 0;
    pthread_barrier_wait(writer->barrier);
    for (int i = 0; i < LOG_EACH; i++) {
        enum tn_status st = TN_E_EXISTS;
        struct tn_err mine = TN_ERR_INIT;
        snprintf(body, sizeof body, "%d %d", writer->number, i);
        for (; st == TN_E_EXISTS; version++) {
            snprintf(key, sizeof key, "_log/%020d.commit", version);
            st = tn_object_put(own, key, tn_str_of(body), true, DEADLINE_MS, &mine);
        }
        CHECK_OK(st, &mine);
    }
    tn_object_store_close(own);
    return NULL;
}

/* Every entry is there once, versions have no gap, each writer's entries are in its order. */
static void case_log(const struct conform_object_store_factory *factory)
{
    pthread_t threads[LOG_WRITERS];
    struct writer writers[LOG_WRITERS];
    pthread_barrier_t barrier;
    int next[LOG_WRITERS] = {0};
    struct order order = {.is_ordered = true};
    pthread_barrier_init(&barrier, NULL, LOG_WRITERS);
    for (int i = 0; i < LOG_WRITERS; i++) {
        writers[i] = (struct writer){factory, i, NULL, &barrier};
        pthread_create(&threads[i], NULL, appender_main, &writers[i]);
    }
    for (int i = 0; i < LOG_WRITERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    for (int version = 0; version < LOG_WRITERS * LOG_EACH; version++) {
        char key[64];
        int number = -1, entry = -1;
        struct tn_buf body;
        tn_buf_init(&body, 64);
        snprintf(key, sizeof key, "_log/%020d.commit", version);
        CHECK_INT(tn_object_get(store, key, 0, -1, &body, DEADLINE_MS, &err), TN_OK);
        CHECK_INT(sscanf(tn_buf_cstr(&body), "%d %d", &number, &entry), 2);
        CHECK(number >= 0 && number < LOG_WRITERS && entry == next[number]++);
        tn_buf_release(&body);
    }
    CHECK_OK(tn_object_list(store, "_log/", NULL, on_ordered, &order, DEADLINE_MS, &err), &err);
    CHECK_INT(order.count, LOG_WRITERS * LOG_EACH);
}

/* ---- versions, folders, unfinished uploads, names ---- */

static void case_versions(void)
{
    struct tn_buf body;
    struct tn_object_info info;
    tn_buf_init(&body, 100);
    CHECK_INT(put("version", "first", false), TN_OK);
    CHECK_OK(tn_object_head(store, "version", &info, DEADLINE_MS, &err), &err);
    struct tn_object_request request = {.op = TN_OBJECT_GET,
                                        .key = "version",
                                        .length = 3,
                                        .if_etag = info.etag,
                                        .ret_body = &body};
    CHECK_INT(tn_object_wait(store, &request, &err), TN_OK);
    CHECK_STR(tn_buf_str(&body), "fir");
    CHECK_INT(request.info.size, 5);
    CHECK(strcmp(request.info.etag, info.etag) == 0);
    CHECK_INT(put("version", "second one", false), TN_OK);
    CHECK_INT(tn_object_wait(store, &request, &err), TN_NOT_FOUND);
    CHECK_STR(tn_buf_str(&body), "fir");
    CHECK_INT(tn_object_get(store, "version", 11, -1, &body, DEADLINE_MS, &err), TN_E_INVALID);
    CHECK_INT(tn_object_get(store, "version", 10, -1, &body, DEADLINE_MS, &err), TN_OK);
    CHECK_INT(tn_object_get(store, "version", 0, 0, &body, DEADLINE_MS, &err), TN_OK);
    CHECK_STR(tn_buf_str(&body), "fir");
    tn_buf_release(&body);
    tn_buf_init(&body, 4);
    char *big = tn_alloc(1000);
    memset(big, 'b', 999);
    CHECK_INT(put("big one", big, false), TN_OK);
    CHECK_INT(tn_object_get(store, "big one", 0, -1, &body, DEADLINE_MS, &err), TN_E_LIMIT);
    CHECK(body.len == 0 && !tn_buf_over(&body));
    tn_buf_release(&body);
    tn_free(big);
}

static void case_shallow(void)
{
    struct listed listed = {.text = "", .left = 100};
    struct tn_object_request request = {.op = TN_OBJECT_LIST,
                                        .key = "l/",
                                        .is_shallow = true,
                                        .each = on_object,
                                        .each_ctx = &listed};
    CHECK_INT(tn_object_wait(store, &request, &err), TN_OK);
    CHECK_STR(tn_str_of(listed.text), "l/a.txt:2 l/a/:-1 l/a0:2 l/b/:-1 ");
    listed = (struct listed){.text = "", .left = 100};
    request.key = "l/a";
    request.start_after = "l/a.txt";
    CHECK_INT(tn_object_wait(store, &request, &err), TN_OK);
    CHECK_STR(tn_str_of(listed.text), "l/a/:-1 l/a0:2 ");
}

static bool on_upload(void *ctx, const struct tn_object_info *info)
{
    char *id = ctx;
    if (tn_str_eq(info->key, TN_STR("unfinished/b")))
        snprintf(id, TN_OBJECT_UPLOAD_MAX, "%s", info->upload_id);
    return true;
}

static void case_uploads(void)
{
    char id[TN_OBJECT_UPLOAD_MAX], found[TN_OBJECT_UPLOAD_MAX] = "", etag[TN_OBJECT_ETAG_MAX];
    struct tn_object_request request = {
        .op = TN_OBJECT_UPLOADS, .key = "unfinished/", .each = on_upload, .each_ctx = found};
    CHECK_OK(tn_object_upload_start(store, "unfinished/b", id, DEADLINE_MS, &err), &err);
    CHECK_INT(tn_object_wait(store, &request, &err), TN_OK);
    CHECK(found[0] != 0);
    if (found[0])
        CHECK_OK(tn_object_upload_abort(store, "unfinished/b", found, DEADLINE_MS, &err), &err);
    CHECK_OK(tn_object_upload_abort(store, "unfinished/b", id, DEADLINE_MS, &err), &err);
    found[0] = 0;
    CHECK_INT(tn_object_wait(store, &request, &err), TN_OK);
    CHECK(found[0] == 0);
    CHECK_INT(
        tn_object_upload_part(store, "unfinished/b", id, 1, TN_STR("x"), etag, DEADLINE_MS, &err),
        TN_E_CANCELLED);
    CHECK_INT(
        tn_object_upload_part(store, "unfinished/b", id, 0, TN_STR("x"), etag, DEADLINE_MS, &err),
        TN_E_INVALID);
}

static void case_outside(void)
{
    static const char *const bad[] = {"..", "../x", "a/../../x", "/etc/x", "a/./b", "a/.."};
    struct tn_object_info info;
    char id[TN_OBJECT_UPLOAD_MAX];
    struct listed listed = {.text = "", .left = 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(put(bad[i], "x", true), TN_E_INVALID);
        CHECK_INT(get_status(bad[i]), TN_E_INVALID);
        CHECK_INT(tn_object_head(store, bad[i], &info, 0, &err), TN_E_INVALID);
        CHECK_INT(tn_object_remove(store, bad[i], 0, &err), TN_E_INVALID);
        CHECK_INT(tn_object_upload_start(store, bad[i], id, 0, &err), TN_E_INVALID);
    }
    CHECK_INT(tn_object_list(store, "../", NULL, on_object, &listed, 0, &err), TN_E_INVALID);
}

int conform_object_store(const struct conform_object_store_factory *factory)
{
    int before = tn_checks_failed;
    store = factory->open(factory->ctx);
    case_objects();
    case_if_absent();
    case_race(factory);
    case_list();
    case_shallow();
    case_multipart();
    case_uploads();
    case_versions();
    case_outside();
    case_many();
    case_log(factory);
    case_cancel(factory);
    case_names(factory->key_max ? factory->key_max : TN_OBJECT_KEY_MAX);
    if (factory->is_prefix_free) {
        CHECK_INT(put("one/object", "below", false), TN_OK);
        CHECK_INT(put("one", "above", false), TN_OK);
        check_get("one/object", 0, -1, "below");
    }
    tn_object_store_close(store);
    if (tn_checks_failed > before)
        fprintf(stderr, "object store '%s': %d checks failed\n", factory->name,
                tn_checks_failed - before);
    return tn_checks_failed - before;
}
