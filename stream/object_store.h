/* Port: an object store. Adapters: folder, S3 (connectors/), memory with faults (tests/support/).
 *
 * A request is a struct the requester owns. It is handed over with `submit`, which never blocks,
 * and comes back by `done`, exactly once, with `status`, `err` and the outputs set. Many requests
 * may be under way; the adapter works on as many as it has connections or threads, the others wait
 * in their order. The queue is made of the requests themselves: whoever submits bounds them.
 * The tn_object_* functions below do one request and wait for it.
 *
 * PROMISES. (1) An object appears whole or not at all, also after a power loss. (2) Put-if-absent
 * has exactly one winner; an adapter that repeats a request of unknown outcome finds out whether
 * its own earlier try won before it answers TN_E_EXISTS. (3) Transient faults are repeated with
 * back-off by the adapter until the request's time is over; then the status is TN_E_TIMEOUT or
 * TN_E_IO with err.retriable set. (4) When a conditional put or the end of an upload may or may
 * not have happened, the status is TN_E_INDEFINITE: look before deciding.
 *
 * STATUSES. TN_OK; TN_NOT_FOUND (get, head: not there, or not in the version if_etag names);
 * TN_E_EXISTS (put-if-absent lost); TN_E_INVALID (key, range, part); TN_E_CANCELLED (cancelled,
 * store closed, or the upload is gone: begin it again); TN_E_DENIED (credentials, policy);
 * TN_E_NAME (no such bucket); TN_E_LIMIT (larger than ret_body takes); TN_E_FULL; TN_E_TIMEOUT;
 * TN_E_IO; TN_E_CORRUPT (bytes do not fit their checksum or length); TN_E_INDEFINITE.
 *
 * Ownership: everything a request points to is borrowed from submit to done.
 * @thread any; done and each are called on a thread of the adapter (or, before submit returns, on
 * the requester's): they must be short, must not block, may submit, must not close the store.
 */
#ifndef TN_STREAM_OBJECT_STORE_H
#define TN_STREAM_OBJECT_STORE_H

#include "stream/base/buf.h"
#include "stream/base/status.h"

#define TN_OBJECT_KEY_MAX        1024
#define TN_OBJECT_ETAG_MAX       72  /* with NUL */
#define TN_OBJECT_UPLOAD_MAX     512 /* with NUL */
#define TN_OBJECT_PARTS_MAX      10000
#define TN_OBJECT_PART_BYTES_MIN ((size_t)5 << 20) /* all parts but the last */

struct tn_object_store;

struct tn_object_info {
    struct tn_str key;             /* valid during the callback */
    int64_t size;                  /* −1: a folder (is_shallow), its key ends with '/' */
    int64_t modified_ms;           /* 0 = unknown */
    char etag[TN_OBJECT_ETAG_MAX]; /* names one content of this key; without quotes */
    const char *upload_id;         /* TN_OBJECT_UPLOADS only; valid during the callback */
};

enum tn_object_op {
    TN_OBJECT_PUT,    /* key, body, is_if_absent → info.etag */
    TN_OBJECT_GET,    /* key, offset, length, if_etag → *ret_body, info (size: whole object) */
    TN_OBJECT_HEAD,   /* key → info */
    TN_OBJECT_LIST,   /* key = prefix, start_after, is_shallow, each */
    TN_OBJECT_REMOVE, /* key; absent is TN_OK */
    TN_OBJECT_UPLOAD_START,  /* key → upload_id */
    TN_OBJECT_UPLOAD_PART,   /* key, upload_id, part (1…), body → info.etag */
    TN_OBJECT_UPLOAD_FINISH, /* key, upload_id, etags of parts 1 … parts_count → info.etag */
    TN_OBJECT_UPLOAD_ABORT,  /* key, upload_id; absent is TN_OK */
    TN_OBJECT_UPLOADS,       /* key = prefix, each: unfinished uploads */
    TN_OBJECT_OP_COUNT
};

struct tn_object_request {
    enum tn_object_op op;
    const char *key;
    struct tn_str body;
    bool is_if_absent;      /* TN_E_EXISTS when the key exists, atomic against other writers */
    bool is_shallow;        /* list: what is below a further '/' counts as one folder */
    int64_t offset, length; /* length −1 = to the end; a range past the end gives fewer bytes;
                               offset > size is TN_E_INVALID */
    const char *if_etag;    /* NULL = any version */
    const char *start_after;
    /* Byte order of whole keys, each object once; false stops early. */
    bool (*each)(void *ctx, const struct tn_object_info *info);
    void *each_ctx;
    char *upload_id; /* TN_OBJECT_UPLOAD_MAX bytes when it is an output */
    int part;
    const char (*etags)[TN_OBJECT_ETAG_MAX];
    int parts_count;
    int64_t timeout_ms; /* from submit to done, tries again included (a list: per page); 0 = the
                           store's own */
    struct tn_buf *ret_body; /* bytes are appended; on failure it is as it was */
    void (*done)(struct tn_object_request *request);
    void *ctx; /* the requester's */

    enum tn_status status; /* outputs; info.key is not set for single objects */
    struct tn_err err;
    struct tn_object_info info;
    int tries; /* how often it was sent */

    /* the adapter's, from submit to done */
    struct tn_object_request *next;
    void *adapter;
    bool is_cancelled;

    /* the group's (connectors/wait.h) */
    struct tn_object_request *peer;
    bool is_ended;
};

struct tn_object_store_type {
    const char *name;
    void (*submit)(struct tn_object_store *store, struct tn_object_request *request);
    /* Does the request in the calling thread: fills status, err, outputs; done is not called. NULL
     * where submit and waiting is as good. */
    void (*run)(struct tn_object_store *store, struct tn_object_request *request);
    /* Ends a submitted request soon, with TN_E_CANCELLED unless it is done first. Only while done
     * has not been called. */
    void (*cancel)(struct tn_object_store *store, struct tn_object_request *request);
    /* Pending requests end with TN_E_CANCELLED before this returns. */
    void (*close)(struct tn_object_store *store);
};

struct tn_object_store {
    const struct tn_object_store_type *type;
    const char *url;    /* "s3://bucket/prefix", "file:///folder": for messages; no secrets */
    const char *folder; /* its path when objects are plain files below a folder; else NULL */
    int parallel;       /* requests at once beyond which more bring nothing */
    size_t part_bytes;  /* bodies above this are better sent as an upload with such parts */
};

/* Is this a key? 1 … 1024 bytes of UTF-8 without control characters, not beginning with '/', no
 * segment '.' or '..'. Keys to write also have no empty segment. TN_E_INVALID. */
enum tn_status tn_object_key_check(const char *key, bool is_write, struct tn_err *err);

/* One request, waited for: what it gives is in the request. `done` and `ctx` are used by this. */
enum tn_status tn_object_wait(struct tn_object_store *store, struct tn_object_request *request,
                              struct tn_err *err);

/* The same for each operation; timeout_ms 0 = the store's own. ret_info may be NULL.
 */
enum tn_status tn_object_put(struct tn_object_store *store, const char *key, struct tn_str body,
                             bool is_if_absent, int64_t timeout_ms, struct tn_err *err);
enum tn_status tn_object_get(struct tn_object_store *store, const char *key, int64_t offset,
                             int64_t length, struct tn_buf *ret_body, int64_t timeout_ms,
                             struct tn_err *err);
enum tn_status tn_object_head(struct tn_object_store *store, const char *key,
                              struct tn_object_info *ret_info, int64_t timeout_ms,
                              struct tn_err *err);
enum tn_status tn_object_list(struct tn_object_store *store, const char *prefix,
                              const char *start_after,
                              bool (*each)(void *ctx, const struct tn_object_info *info), void *ctx,
                              int64_t timeout_ms, struct tn_err *err);
enum tn_status tn_object_remove(struct tn_object_store *store, const char *key, int64_t timeout_ms,
                                struct tn_err *err);
enum tn_status tn_object_upload_start(struct tn_object_store *store, const char *key,
                                      char upload_id[TN_OBJECT_UPLOAD_MAX], int64_t timeout_ms,
                                      struct tn_err *err);
enum tn_status tn_object_upload_part(struct tn_object_store *store, const char *key,
                                     const char *upload_id, int part, struct tn_str body,
                                     char ret_etag[TN_OBJECT_ETAG_MAX], int64_t timeout_ms,
                                     struct tn_err *err);
enum tn_status tn_object_upload_finish(struct tn_object_store *store, const char *key,
                                       const char *upload_id,
                                       const char (*etags)[TN_OBJECT_ETAG_MAX], int parts_count,
                                       int64_t timeout_ms, struct tn_err *err);
enum tn_status tn_object_upload_abort(struct tn_object_store *store, const char *key,
                                      const char *upload_id, int64_t timeout_ms,
                                      struct tn_err *err);
void tn_object_store_close(struct tn_object_store *store); /* NULL is a no-op */

#endif
