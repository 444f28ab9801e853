/* See mem_object_store.h. Objects are a sorted array; uploads a list. One lock for everything. */
#include "tests/support/mem_object_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "stream/base/mem.h"

struct object {
    char *key, *bytes;
    size_t len;
    int64_t version;
    int64_t token; /* of the request that wrote it */
};

struct part {
    int number;
    char *bytes;
    size_t len;
    int64_t version;
};

struct upload {
    struct upload *next;
    int64_t id;
    char *key;
    struct part *parts;
    size_t parts_count;
};

struct mem_objects {
    pthread_mutex_t lock;
    struct object *items;
    size_t count, cap;
    struct upload *uploads;
    int64_t versions, ids;
    int lose_every;
    int64_t tries, requests, lost;
    int64_t fail_first, fail_last; /* request numbers */
    enum tn_status fail_status;
    bool is_fail_done;
};

struct mem_store {
    struct tn_object_store base; /* first member */
    struct mem_objects *objects;
};

/* ---- objects; under the lock ---- */

/* Index of the first key >= key. */
static size_t lower(const struct mem_objects *objects, const char *key)
{
    size_t low = 0, high = objects->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(objects->items[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct object *find(struct mem_objects *objects, const char *key)
{
    size_t i = lower(objects, key);
    bool is_found = i < objects->count && strcmp(objects->items[i].key, key) == 0;
    return is_found ? &objects->items[i] : NULL;
}

static char *copy_bytes(const char *bytes, size_t len)
{
    char *copy = tn_alloc_raw(len + 1);
    if (len)
        memcpy(copy, bytes, len);
    return copy;
}

static struct object *write_object(struct mem_objects *objects, const char *key, char *bytes,
                                   size_t len, int64_t token)
{
    struct object *object = find(objects, key);
    if (!object) {
        size_t at = lower(objects, key);
        if (objects->count == objects->cap) {
            objects->cap = objects->cap ? objects->cap * 2 : 64;
            objects->items = tn_realloc(objects->items, objects->cap * sizeof *objects->items);
        }
        memmove(objects->items + at + 1, objects->items + at,
                (objects->count - at) * sizeof *objects->items);
        objects->count++;
        object = &objects->items[at];
        *object = (struct object){.key = tn_strdup(key)};
    }
    tn_free(object->bytes);
    object->bytes = bytes;
    object->len = len;
    object->token = token;
    object->version = ++objects->versions;
    return object;
}

static void info_of(const struct object *object, struct tn_object_info *info)
{
    *info = (struct tn_object_info){.size = (int64_t)object->len, .modified_ms = object->version};
    snprintf(info->etag, sizeof info->etag, "v%lld", (long long)object->version);
}

static enum tn_status do_put(struct mem_objects *objects, struct tn_object_request *request,
                             int64_t token)
{
    struct object *object = find(objects, request->key);
    if (object && request->is_if_absent && object->token != token)
        return tn_err_set(&request->err, TN_E_EXISTS, "object '%s' exists already", request->key);
    if (!object || !request->is_if_absent)
        object =
            write_object(objects, request->key, copy_bytes(request->body.ptr, request->body.len),
                         request->body.len, token);
    info_of(object, &request->info);
    return TN_OK;
}

static enum tn_status do_get(struct mem_objects *objects, struct tn_object_request *request)
{
    const struct object *object = find(objects, request->key);
    if (!object)
        return TN_NOT_FOUND;
    info_of(object, &request->info);
    if (request->op == TN_OBJECT_HEAD)
        return TN_OK;
    if (request->if_etag && strcmp(request->if_etag, request->info.etag) != 0)
        return TN_NOT_FOUND;
    if (request->offset < 0 || request->offset > (int64_t)object->len)
        return tn_err_set(&request->err, TN_E_INVALID, "byte %lld was asked for",
                          (long long)request->offset);
    size_t left = object->len - (size_t)request->offset;
    if (request->length >= 0 && (size_t)request->length < left)
        left = (size_t)request->length;
    char *to = tn_buf_reserve(request->ret_body, left);
    if (!to) {
        request->ret_body->is_over = false;
        return tn_err_set(&request->err, TN_E_LIMIT, "object '%s' is too large", request->key);
    }
    memcpy(to, object->bytes + request->offset, left);
    request->ret_body->len += left;
    return TN_OK;
}

static void do_remove(struct mem_objects *objects, const char *key)
{
    struct object *object = find(objects, key);
    if (!object)
        return;
    tn_free(object->key);
    tn_free(object->bytes);
    size_t at = (size_t)(object - objects->items);
    memmove(object, object + 1, (objects->count - at - 1) * sizeof *object);
    objects->count--;
}

static void do_list(struct mem_objects *objects, struct tn_object_request *request)
{
    const char *prefix = request->key ? request->key : "";
    const char *after = request->start_after ? request->start_after : "";
    char folder[TN_OBJECT_KEY_MAX + 1] = "";
    size_t n = strlen(prefix);
    for (size_t i = lower(objects, prefix); i < objects->count; i++) {
        const struct object *object = &objects->items[i];
        struct tn_object_info info;
        if (strncmp(object->key, prefix, n) != 0)
            return;
        const char *slash = request->is_shallow ? strchr(object->key + n, '/') : NULL;
        info_of(object, &info);
        info.key = tn_str_of(object->key);
        if (slash) {
            info = (struct tn_object_info){.size = -1};
            info.key = (struct tn_str){object->key, (size_t)(slash - object->key) + 1};
            if (strncmp(folder, object->key, info.key.len) == 0)
                continue;
            snprintf(folder, sizeof folder, "%.*s", TN_STR_FMT(info.key));
        }
        if (tn_str_cmp(info.key, tn_str_of(after)) > 0 && !request->each(request->each_ctx, &info))
            return;
    }
}

/* ---- uploads; under the lock ---- */

static struct upload **find_upload(struct mem_objects *objects,
                                   const struct tn_object_request *request)
{
    int64_t id = strtoll(request->upload_id, NULL, 10);
    struct upload **p = &objects->uploads;
    while (*p && ((*p)->id != id || strcmp((*p)->key, request->key) != 0))
        p = &(*p)->next;
    return p;
}

static void drop_upload(struct upload **at)
{
    struct upload *upload = *at;
    if (!upload)
        return;
    *at = upload->next;
    for (size_t i = 0; i < upload->parts_count; i++)
        tn_free(upload->parts[i].bytes);
    tn_free(upload->parts);
    tn_free(upload->key);
    tn_free(upload);
}

static struct part *find_part(struct upload *upload, int number)
{
    for (size_t i = 0; i < upload->parts_count; i++)
        if (upload->parts[i].number == number)
            return &upload->parts[i];
    return NULL;
}

static void part_etag(const struct part *part, char etag[TN_OBJECT_ETAG_MAX])
{
    snprintf(etag, TN_OBJECT_ETAG_MAX, "p%lld", (long long)part->version);
}

static void put_part(struct mem_objects *objects, struct upload *upload,
                     struct tn_object_request *request)
{
    struct part *part = find_part(upload, request->part);
    if (!part) {
        upload->parts =
            tn_realloc(upload->parts, (upload->parts_count + 1) * sizeof *upload->parts);
        part = &upload->parts[upload->parts_count++];
        *part = (struct part){.number = request->part};
    }
    tn_free(part->bytes);
    part->bytes = copy_bytes(request->body.ptr, request->body.len);
    part->len = request->body.len;
    part->version = ++objects->versions;
    part_etag(part, request->info.etag);
}

static enum tn_status join_parts(struct mem_objects *objects, struct upload *upload,
                                 struct tn_object_request *request, int64_t token)
{
    size_t len = 0;
    char etag[TN_OBJECT_ETAG_MAX];
    for (int i = 0; i < request->parts_count; i++) {
        const struct part *part = find_part(upload, i + 1);
        if (part)
            part_etag(part, etag);
        if (!part || strcmp(etag, request->etags[i]) != 0)
            return tn_err_set(&request->err, TN_E_INVALID, "part %d is missing or another", i + 1);
        if (i + 1 < request->parts_count && part->len < TN_OBJECT_PART_BYTES_MIN)
            return tn_err_set(&request->err, TN_E_INVALID, "part %d is too small", i + 1);
        len += part->len;
    }
    char *bytes = tn_alloc_raw(len + 1);
    len = 0;
    for (int i = 0; i < request->parts_count; i++) {
        const struct part *part = find_part(upload, i + 1);
        memcpy(bytes + len, part->bytes, part->len);
        len += part->len;
    }
    info_of(write_object(objects, request->key, bytes, len, token), &request->info);
    return TN_OK;
}

static enum tn_status do_upload(struct mem_objects *objects, struct tn_object_request *request)
{
    struct upload **at = find_upload(objects, request), *upload = *at;
    int64_t token = -strtoll(request->upload_id, NULL, 10);
    if (request->op == TN_OBJECT_UPLOAD_ABORT) {
        drop_upload(at);
        return TN_OK;
    }
    const struct object *object = find(objects, request->key);
    if (!upload && request->op == TN_OBJECT_UPLOAD_FINISH && object && object->token == token) {
        info_of(object, &request->info); /* an earlier try has ended it */
        return TN_OK;
    }
    if (!upload)
        return tn_err_set(&request->err, TN_E_CANCELLED, "upload of '%s' is gone", request->key);
    if (request->op == TN_OBJECT_UPLOAD_PART) {
        put_part(objects, upload, request);
        return TN_OK;
    }
    enum tn_status st = join_parts(objects, upload, request, token);
    if (st == TN_OK)
        drop_upload(at);
    return st;
}

static void start_upload(struct mem_objects *objects, struct tn_object_request *request)
{
    struct upload *upload = tn_alloc(sizeof *upload);
    upload->id = ++objects->ids;
    upload->key = tn_strdup(request->key);
    upload->next = objects->uploads;
    objects->uploads = upload;
    snprintf(request->upload_id, TN_OBJECT_UPLOAD_MAX, "%lld", (long long)upload->id);
}

static void list_uploads(struct mem_objects *objects, struct tn_object_request *request)
{
    const char *prefix = request->key ? request->key : "";
    for (const struct upload *upload = objects->uploads; upload; upload = upload->next) {
        char id[32];
        struct tn_object_info info = {.key = tn_str_of(upload->key), .upload_id = id};
        snprintf(id, sizeof id, "%lld", (long long)upload->id);
        if (strncmp(upload->key, prefix, strlen(prefix)) == 0 &&
            !request->each(request->each_ctx, &info))
            return;
    }
}

/* ---- the port ---- */

static enum tn_status do_request(struct mem_objects *objects, struct tn_object_request *request,
                                 int64_t token)
{
    switch (request->op) {
    case TN_OBJECT_PUT: return do_put(objects, request, token);
    case TN_OBJECT_GET:
    case TN_OBJECT_HEAD: return do_get(objects, request);
    case TN_OBJECT_LIST: do_list(objects, request); return TN_OK;
    case TN_OBJECT_REMOVE: do_remove(objects, request->key); return TN_OK;
    case TN_OBJECT_UPLOAD_START: start_upload(objects, request); return TN_OK;
    case TN_OBJECT_UPLOADS: list_uploads(objects, request); return TN_OK;
    default: return do_upload(objects, request);
    }
}

static enum tn_status check(const struct tn_object_request *request, struct tn_err *err)
{
    bool is_list = request->op == TN_OBJECT_LIST || request->op == TN_OBJECT_UPLOADS;
    bool is_part = request->op == TN_OBJECT_UPLOAD_PART;
    if (is_list)
        return request->key && request->key[0] ? tn_object_key_check(request->key, false, err)
                                               : TN_OK;
    if (is_part && (request->part < 1 || request->part > TN_OBJECT_PARTS_MAX))
        return tn_err_set(err, TN_E_INVALID, "part number %d", request->part);
    return tn_object_key_check(request->key, true, err);
}

static void mem_run(struct tn_object_store *base, struct tn_object_request *request)
{
    struct mem_objects *objects = ((struct mem_store *)base)->objects;
    size_t before = request->ret_body ? request->ret_body->len : 0;
    pthread_mutex_lock(&objects->lock);
    int64_t number = ++objects->requests, token = ++objects->ids;
    bool is_failed = number >= objects->fail_first && number < objects->fail_last;
    enum tn_status st = check(request, &request->err);
    bool is_done = st != TN_OK;
    if (is_failed && !objects->is_fail_done && !is_done) {
        st = tn_err_set(&request->err, objects->fail_status, "injected before '%s'", request->key);
        is_done = true;
    }
    for (request->tries = 0; !is_done;) {
        request->tries++;
        bool is_list = request->op == TN_OBJECT_LIST || request->op == TN_OBJECT_UPLOADS;
        bool is_lost = objects->lose_every && ++objects->tries % objects->lose_every == 0;
        bool is_lost_after = is_lost && ++objects->lost % 2 == 0;
        if (is_lost && (!is_lost_after || is_list))
            continue;
        if (request->ret_body)
            request->ret_body->len = before;
        st = do_request(objects, request, token);
        is_done = !is_lost_after;
    }
    if (is_failed && objects->is_fail_done && st == TN_OK) {
        st = tn_err_set(&request->err, objects->fail_status, "injected after '%s'", request->key);
        if (request->ret_body)
            request->ret_body->len = before;
    }
    if (is_failed)
        request->err.retriable = true;
    pthread_mutex_unlock(&objects->lock);
    request->status = st;
}

static void mem_submit(struct tn_object_store *base, struct tn_object_request *request)
{
    mem_run(base, request);
    request->done(request);
}

/* Requests are done before submit returns: there is nothing to cancel. */
static void mem_cancel(struct tn_object_store *base, struct tn_object_request *request)
{
    (void)base, (void)request;
}

static void mem_close(struct tn_object_store *base)
{
    tn_free(base);
}

static const struct tn_object_store_type mem_type = {.name = "memory",
                                                     .submit = mem_submit,
                                                     .run = mem_run,
                                                     .cancel = mem_cancel,
                                                     .close = mem_close};

struct mem_objects *mem_objects_new(void)
{
    struct mem_objects *objects = tn_alloc(sizeof *objects);
    pthread_mutex_init(&objects->lock, NULL);
    return objects;
}

void mem_objects_free(struct mem_objects *objects)
{
    while (objects->count)
        do_remove(objects, objects->items[0].key);
    while (objects->uploads)
        drop_upload(&objects->uploads);
    tn_free(objects->items);
    pthread_mutex_destroy(&objects->lock);
    tn_free(objects);
}

struct tn_object_store *mem_object_store_open(struct mem_objects *objects)
{
    struct mem_store *store = tn_alloc(sizeof *store);
    store->base = (struct tn_object_store){
        .type = &mem_type, .url = "memory:", .parallel = 8, .part_bytes = (size_t)8 << 20};
    store->objects = objects;
    return &store->base;
}

void mem_objects_lose(struct mem_objects *objects, int every)
{
    objects->lose_every = every;
}

void mem_objects_fail_at(struct mem_objects *objects, int64_t n, int64_t count,
                         enum tn_status status, bool is_done)
{
    pthread_mutex_lock(&objects->lock);
    objects->fail_first = n ? objects->requests + n : 0;
    objects->fail_last = n ? objects->fail_first + count : 0;
    objects->fail_status = status;
    objects->is_fail_done = is_done;
    pthread_mutex_unlock(&objects->lock);
}

int64_t mem_objects_requests(const struct mem_objects *objects)
{
    return objects->requests;
}

int64_t mem_objects_tries(const struct mem_objects *objects)
{
    return objects->tries;
}
