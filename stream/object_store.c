/* What is common to all object stores: the rule for keys, and waiting for one request.
 * @thread any
 */
#include "stream/object_store.h"

#include <pthread.h>

#include "stream/base/utf8.h"

static bool segments_ok(const char *key, bool is_write)
{
    for (const char *p = key;;) {
        size_t len = strcspn(p, "/");
        bool is_dots = (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.');
        if (is_dots || (is_write && len == 0))
            return false;
        p += len;
        if (!*p++)
            return true;
    }
}

enum tn_status tn_object_key_check(const char *key, bool is_write, struct tn_err *err)
{
    size_t len = strnlen(key, TN_OBJECT_KEY_MAX + 1);
    bool is_ok = len > 0 && len <= TN_OBJECT_KEY_MAX && key[0] != '/' && segments_ok(key, is_write);
    for (size_t i = 0; i < len && is_ok; i++)
        is_ok = (unsigned char)key[i] >= 0x20 && key[i] != 0x7f;
    if (is_ok && tn_utf8_ok(key, len))
        return TN_OK;
    enum tn_status st = tn_err_set(err, TN_E_INVALID, "'%.200s' is not an object's name", key);
    tn_err_hint(err, "1 to %d bytes of UTF-8; segments between '/' must not be empty, '.' or '..'",
                TN_OBJECT_KEY_MAX);
    return st;
}

/* ---- waiting ---- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done;
};

static void on_done(struct tn_object_request *request)
{
    struct waiter *waiter = request->ctx;
    pthread_mutex_lock(&waiter->lock);
    waiter->is_done = true;
    pthread_cond_signal(&waiter->done);
    pthread_mutex_unlock(&waiter->lock);
}

enum tn_status tn_object_wait(struct tn_object_store *store, struct tn_object_request *request,
                              struct tn_err *err)
{
    if (store->type->run) {
        store->type->run(store, request);
    } else {
        struct waiter waiter = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
        request->done = on_done;
        request->ctx = &waiter;
        store->type->submit(store, request);
        pthread_mutex_lock(&waiter.lock);
        while (!waiter.is_done)
            pthread_cond_wait(&waiter.done, &waiter.lock);
        pthread_mutex_unlock(&waiter.lock);
        pthread_cond_destroy(&waiter.done);
        pthread_mutex_destroy(&waiter.lock);
    }
    if (tn_failed(request->status) && err)
        *err = request->err;
    return request->status;
}

enum tn_status tn_object_put(struct tn_object_store *store, const char *key, struct tn_str body,
                             bool is_if_absent, int64_t timeout_ms, struct tn_err *err)
{
    struct tn_object_request request = {.op = TN_OBJECT_PUT,
                                        .key = key,
                                        .body = body,
                                        .is_if_absent = is_if_absent,
                                        .timeout_ms = timeout_ms};
    return tn_object_wait(store, &request, err);
}

enum tn_status tn_object_get(struct tn_object_store *store, const char *key, int64_t offset,
                             int64_t length, struct tn_buf *ret_body, int64_t timeout_ms,
                             struct tn_err *err)
{
    struct tn_object_request request = {.op = TN_OBJECT_GET,
                                        .key = key,
                                        .offset = offset,
                                        .length = length,
                                        .ret_body = ret_body,
                                        .timeout_ms = timeout_ms};
    return tn_object_wait(store, &request, err);
}

enum tn_status tn_object_head(struct tn_object_store *store, const char *key,
                              struct tn_object_info *ret_info, int64_t timeout_ms,
                              struct tn_err *err)
{
    struct tn_object_request request = {.op = TN_OBJECT_HEAD, .key = key, .timeout_ms = timeout_ms};
    enum tn_status st = tn_object_wait(store, &request, err);
    if (st == TN_OK && ret_info) {
        *ret_info = request.info;
        ret_info->key = tn_str_of(key);
    }
    return st;
}

enum tn_status tn_object_list(struct tn_object_store *store, const char *prefix,
                              const char *start_after,
                              bool (*each)(void *ctx, const struct tn_object_info *info), void *ctx,
                              int64_t timeout_ms, struct tn_err *err)
{
    struct tn_object_request request = {.op = TN_OBJECT_LIST,
                                        .key = prefix,
                                        .start_after = start_after,
                                        .each = each,
                                        .each_ctx = ctx,
                                        .timeout_ms = timeout_ms};
    return tn_object_wait(store, &request, err);
}

enum tn_status tn_object_remove(struct tn_object_store *store, const char *key, int64_t timeout_ms,
                                struct tn_err *err)
{
    struct tn_object_request request = {
        .op = TN_OBJECT_REMOVE, .key = key, .timeout_ms = timeout_ms};
    return tn_object_wait(store, &request, err);
}

enum tn_status tn_object_upload_start(struct tn_object_store *store, const char *key,
                                      char upload_id[TN_OBJECT_UPLOAD_MAX], int64_t timeout_ms,
                                      struct tn_err *err)
{
    struct tn_object_request request = {
        .op = TN_OBJECT_UPLOAD_START, .key = key, .upload_id = upload_id, .timeout_ms = timeout_ms};
    return tn_object_wait(store, &request, err);
}

enum tn_status tn_object_upload_part(struct tn_object_store *store, const char *key,
                                     const char *upload_id, int part, struct tn_str body,
                                     char ret_etag[TN_OBJECT_ETAG_MAX], int64_t timeout_ms,
                                     struct tn_err *err)
{
    struct tn_object_request request = {.op = TN_OBJECT_UPLOAD_PART,
                                        .key = key,
                                        .upload_id = (char *)upload_id,
                                        .part = part,
                                        .body = body,
                                        .timeout_ms = timeout_ms};
    enum tn_status st = tn_object_wait(store, &request, err);
    if (st == TN_OK)
        memcpy(ret_etag, request.info.etag, TN_OBJECT_ETAG_MAX);
    return st;
}

enum tn_status tn_object_upload_finish(struct tn_object_store *store, const char *key,
                                       const char *upload_id,
                                       const char (*etags)[TN_OBJECT_ETAG_MAX], int parts_count,
                                       int64_t timeout_ms, struct tn_err *err)
{
    struct tn_object_request request = {.op = TN_OBJECT_UPLOAD_FINISH,
                                        .key = key,
                                        .upload_id = (char *)upload_id,
                                        .etags = etags,
                                        .parts_count = parts_count,
                                        .timeout_ms = timeout_ms};
    return tn_object_wait(store, &request, err);
}

enum tn_status tn_object_upload_abort(struct tn_object_store *store, const char *key,
                                      const char *upload_id, int64_t timeout_ms, struct tn_err *err)
{
    struct tn_object_request request = {.op = TN_OBJECT_UPLOAD_ABORT,
                                        .key = key,
                                        .upload_id = (char *)upload_id,
                                        .timeout_ms = timeout_ms};
    return tn_object_wait(store, &request, err);
}

void tn_object_store_close(struct tn_object_store *store)
{
    if (store)
        store->type->close(store);
}
