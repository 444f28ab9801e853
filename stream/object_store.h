/* Port: an object store. Adapters: folder, S3, GCS, Azure (connectors/), faulty (tests/).
 * Non-blocking calls come with the sinks; this first form serves them from a worker thread and may
 * block up to the deadline each call is given.
 * @thread any
 */
#ifndef TN_STREAM_OBJECT_STORE_H
#define TN_STREAM_OBJECT_STORE_H

#include "stream/base/buf.h"
#include "stream/base/status.h"

#define TN_OBJECT_KEY_MAX 1024

struct tn_object_store;

struct tn_object_info {
    struct tn_str key; /* valid during the callback */
    int64_t size;
    int64_t modified_ms;
    char etag[72];
};

struct tn_object_store_type {
    const char *name;
    /* Whole object at once; replaces. is_if_absent: TN_E_EXISTS when the key exists (atomic against
     * other writers). */
    enum tn_status (*put)(struct tn_object_store *store, const char *key, struct tn_str body,
                          bool is_if_absent, int64_t deadline_ms, struct tn_err *err);
    /* Bytes [offset, offset + length) appended to ret_body; length −1 = to the end. TN_NOT_FOUND.
     */
    enum tn_status (*get)(struct tn_object_store *store, const char *key, int64_t offset,
                          int64_t length, struct tn_buf *ret_body, int64_t deadline_ms,
                          struct tn_err *err);
    enum tn_status (*head)(struct tn_object_store *store, const char *key,
                           struct tn_object_info *ret_info, int64_t deadline_ms,
                           struct tn_err *err);
    /* Keys with `prefix`, after `start_after`, in byte order; stops early when `each` returns
     * false. */
    enum tn_status (*list)(struct tn_object_store *store, const char *prefix,
                           const char *start_after,
                           bool (*each)(void *ctx, const struct tn_object_info *info), void *ctx,
                           int64_t deadline_ms, struct tn_err *err);
    enum tn_status (*remove)(struct tn_object_store *store, const char *key, int64_t deadline_ms,
                             struct tn_err *err); /* absent is TN_OK */
    /* Multipart: parts in order, ≥ 5 MiB each but the last; visible only after finish. */
    enum tn_status (*upload_start)(struct tn_object_store *store, const char *key,
                                   char upload_id[256], int64_t deadline_ms, struct tn_err *err);
    enum tn_status (*upload_part)(struct tn_object_store *store, const char *key,
                                  const char *upload_id, int part, struct tn_str body,
                                  char ret_etag[72], int64_t deadline_ms, struct tn_err *err);
    enum tn_status (*upload_finish)(struct tn_object_store *store, const char *key,
                                    const char *upload_id, const char (*etags)[72], int parts_count,
                                    int64_t deadline_ms, struct tn_err *err);
    enum tn_status (*upload_abort)(struct tn_object_store *store, const char *key,
                                   const char *upload_id, int64_t deadline_ms, struct tn_err *err);
    void (*close)(struct tn_object_store *store);
};

struct tn_object_store {
    const struct tn_object_store_type *type;
};

#endif
