/* Private parts of HTTP ingest, shared by connectors/ingest*.c and http_events.c. See ingest.h for
 * the contract.
 *
 * A request goes: body → elements (ingest_split.c) → keys and values (ingest_encode.c) → records
 * per partition → log.append (ingest_append.c) → answer when the last part is durable. Nothing is
 * appended before the whole body has been checked and encoded.
 *
 * Ownership: a stream (what is known of one target) is cached and reference counted; encoders hold
 * codecs, which have scratch, so each request borrows one from its stream. @thread as noted
 */
#ifndef TN_CONNECTORS_INGEST_INT_H
#define TN_CONNECTORS_INGEST_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "connectors/ingest.h"
#include "connectors/json_scan.h"
#include "stream/records.h"

#define TNI_INGEST_STREAMS_MAX  1024       /* cached targets */
#define TNI_INGEST_ELEMENTS_MAX (1u << 20) /* of one body */
#define TNI_INGEST_DEPTH_MAX    256
#define TNI_INGEST_CHUNK_ROWS   4096u
#define TNI_INGEST_CHUNK_BYTES  ((size_t)1 << 20)
#define TNI_INGEST_DEFAULTS_MAX 32
#define TNI_IDEMPOTENCY_KEY_MAX 255
#define TNI_IDEMPOTENCY_HEADER  "tarn-idempotency-key"

/* ---- body → elements ---- */

enum tni_ingest_form { TNI_FORM_AUTO, TNI_FORM_LINES };

struct tni_elements {
    struct tn_str *items; /* slices of the body */
    uint32_t count, cap;
};

/* Splits a JSON body. is_checked_later: with TNI_FORM_LINES the lines are not scanned, the key
 * decoder checks them. The error has line and column in the body. */
enum tn_status tni_ingest_split(struct tn_str body, enum tni_ingest_form form,
                                bool is_checked_later, struct tni_elements *elements,
                                struct tn_err *err);
void tni_ingest_elements_release(struct tni_elements *elements);
/* Syntax error at `at` within `body`. */
enum tn_status tni_ingest_syntax(struct tn_str body, const char *at, const char *reason,
                                 struct tn_err *err);

/* Members added to objects that lack them (INGEST_DEFAULTS). */
struct tni_defaults {
    uint32_t count;
    struct tn_str names[TNI_INGEST_DEFAULTS_MAX];   /* raw, without quotes */
    struct tn_str members[TNI_INGEST_DEFAULTS_MAX]; /* `"op":"ADD"` */
};
/* Slices of `text`. */
enum tn_status tni_ingest_defaults_parse(const char *text, struct tni_defaults *ret_defaults,
                                         struct tn_err *err);
/* Appends `element` with the missing members to `buf`. */
void tni_ingest_defaults_apply(const struct tni_defaults *defaults, struct tn_str element,
                               struct tn_buf *buf);
/* Value of a top-level member (case-blind name), as text: strings unescaped into `buf`, others raw.
 * False: absent. */
bool tni_json_member_text(struct tn_str object, struct tn_str name, struct tn_buf *buf);

/* ---- elements → records ---- */

struct tni_ingest_stream;

struct tni_encoder {
    struct tni_encoder *next;     /* free list of the stream */
    struct tn_codec *key_members; /* JSON members → key columns; NULL: no key columns */
    struct tn_codec *key;         /* key columns → key bytes */
    uint32_t key_columns_count;
    struct tn_codec
        *value_members; /* JSON members → value columns; NULL: the element is the value */
    struct tn_codec *value;
    uint32_t value_columns_count;
    struct tn_arena arena;
    struct tn_buf key_bytes, value_bytes;
    size_t *key_ends, *value_ends; /* TNI_INGEST_CHUNK_ROWS each */
    struct tn_str *keys, *values;
};

enum tn_status tni_ingest_encoder_new(const struct tn_topic_decl *decl,
                                      struct tni_encoder **ret_encoder, struct tn_err *err);
void tni_ingest_encoder_free(struct tni_encoder *encoder);
/* Keys and values of `count` (≤ TNI_INGEST_CHUNK_ROWS) elements, in encoder->keys and values until
 * the next call. fixed_key: used for all instead of the members (ptr NULL = from the members;
 * is_key_given tells). */
enum tn_status tni_ingest_encoder_run(struct tni_encoder *encoder, struct tn_str body,
                                      const struct tn_str *elements, uint32_t count,
                                      bool is_key_given, struct tn_str given_key,
                                      struct tn_err *err);
/* Key bytes of X-Tarn-Key: the column's value as text, or a JSON object of the key columns. In
 * encoder->key_bytes until the next call. */
enum tn_status tni_ingest_encoder_key_text(struct tni_encoder *encoder,
                                           const struct tn_topic_decl *decl, struct tn_str text,
                                           struct tn_str *ret_key, struct tn_err *err);

/* ---- streams ---- */

struct tni_ingest_stream {
    atomic_int refs;
    struct tn_ingest *ingest;
    struct tn_ingest_target target;
    struct tn_topic topic;
    struct tni_defaults defaults;
    bool is_json;          /* elements are stored unchanged */
    _Atomic uint32_t turn; /* partition of keyless records */
    pthread_mutex_t lock;  /* encoders */
    struct tni_encoder *encoders;
};

struct tni_stream_entry {
    char *name;
    bool is_path;
    int64_t version;
    struct tni_ingest_stream *stream;
};

struct tni_idempotency;

struct tni_ingest_metrics {
    struct tn_metric *records, *bytes, *requests, *refused, *failed, *replayed, *ack_ns;
};

struct tn_ingest {
    struct tn_ingest_config config;
    struct tni_ingest_metrics m;
    pthread_rwlock_t lock; /* entries */
    struct tni_stream_entry *entries;
    uint32_t entries_count;
    struct tni_idempotency *idempotency;
    struct tni_events *events;
    _Atomic int appends_open; /* batches whose last part is not durable yet */
};

/* A reference on the stream; tni_ingest_stream_unref gives it back. TN_E_NAME: there is none. */
enum tn_status tni_ingest_stream_get(struct tn_ingest *ingest, struct tn_str name, bool is_path,
                                     struct tni_ingest_stream **ret_stream, struct tn_err *err);
void tni_ingest_stream_unref(struct tni_ingest_stream *stream);
void tni_ingest_stream_forget(
    struct tn_ingest *ingest); /* after TN_NOT_FOUND from the log: look up again */
enum tn_status tni_ingest_encoder_take(struct tni_ingest_stream *stream,
                                       struct tni_encoder **ret_encoder, struct tn_err *err);
void tni_ingest_encoder_give(struct tni_ingest_stream *stream, struct tni_encoder *encoder);

/* ---- idempotency (ingest_keys.c) ---- */

/* What happened to the parts of a request, by partition. */
struct tni_chunk;

struct tni_part {
    int32_t partition;
    uint32_t count;           /* records of the request in this partition */
    uint32_t done;            /* of them durable; always a prefix */
    int64_t base_offset;      /* of the first; −1 unknown */
    int64_t scan_from;        /* end of the partition when the request began */
    struct tni_chunk *chunks; /* records to append, in order; not kept by idempotency */
};

struct tni_parts {
    struct tni_part *items; /* ascending partitions */
    uint32_t count;
};

enum tni_claim {
    TNI_CLAIM_NEW,     /* begin it */
    TNI_CLAIM_RESUME,  /* begun before, not finished: parts tell what is there */
    TNI_CLAIM_REPLAY,  /* finished: answer as then */
    TNI_CLAIM_RUNNING, /* another request with this key is at work */
    TNI_CLAIM_OTHER,   /* same key, different body */
    TNI_CLAIM_FULL     /* too many keys remembered */
};

struct tni_idem_entry;

enum tn_status tni_idempotency_open(struct tn_ingest *ingest, struct tn_err *err);
void tni_idempotency_close(struct tni_idempotency *idem); /* NULL is a no-op */
/* REPLAY: ret_status and ret_reply (appended). NEW and RESUME: *ret_entry is claimed until _settle
 * or _release. */
enum tni_claim tni_idempotency_claim(struct tni_idempotency *idem, const char *stream_name,
                                     struct tn_str key, struct tn_str body, int *ret_status,
                                     struct tn_buf *ret_reply, struct tni_idem_entry **ret_entry);
/* RESUME: what is stored already, by partition (marks `done` of the parts). TN_E_INVALID: the
 * stream has changed since, the parts do not match. */
enum tn_status tni_idempotency_resume(const struct tni_idem_entry *entry, struct tni_parts *parts,
                                      struct tn_err *err);
/* Writes "begun" durably, then calls `done`. */
void tni_idempotency_begin(struct tni_idempotency *idem, struct tni_idem_entry *entry,
                           const char *topic, const struct tni_parts *parts, tn_append_done done,
                           void *ctx);
/* The request is answered: remember it (in memory at once, in the log without waiting). */
void tni_idempotency_settle(struct tni_idempotency *idem, struct tni_idem_entry *entry, int status,
                            struct tn_str reply);
/* It failed: keep what is known of its parts (NULL: as before), so that a repeat resumes. */
void tni_idempotency_release(struct tni_idempotency *idem, struct tni_idem_entry *entry,
                             const struct tni_parts *parts);

/* ---- append (ingest_append.c) ---- */

/* Records of one append. */
struct tni_chunk {
    struct tni_ingest_batch *batch;
    struct tni_part *part;
    struct tn_records *records;
    struct tni_chunk *next;
};

struct tni_ingest_batch {
    struct tn_ingest *ingest;
    struct tni_ingest_stream *stream;
    struct tn_http_request *req; /* held */
    int64_t started_ns;
    uint32_t elements_count;
    size_t bytes;
    struct tn_http_bytes *body; /* while building: values may point into it; NULL: copy them */
    struct tni_parts parts;     /* request arena */
    _Atomic int pending;
    pthread_mutex_t lock; /* parts' results and error */
    enum tn_status status;
    struct tn_err err;
    struct tni_idem_entry *idem; /* NULL: no Idempotency-Key */
    bool is_resumed;
    struct tn_str idem_key; /* request arena; ptr NULL = none */
};

/* Builds records from elements; appends nothing. `batch` is zeroed and in the request's arena. */
enum tn_status tni_ingest_batch_build(struct tni_ingest_batch *batch,
                                      const struct tni_elements *elements, struct tn_str body,
                                      bool is_key_given, struct tn_str key_text,
                                      struct tn_err *err);
/* One record of raw bytes (value ptr NULL = tombstone). */
enum tn_status tni_ingest_batch_build_raw(struct tni_ingest_batch *batch, struct tn_str value,
                                          struct tn_str key_text, struct tn_err *err);
/* Starts it; the request is completed from the log's thread (or before return). Takes over the
 * batch. */
void tni_ingest_batch_start(struct tni_ingest_batch *batch);
void tni_ingest_batch_release(struct tni_ingest_batch *batch); /* of one that was not started */

/* ---- events (http_events.c) ---- */

struct tni_events;
enum tn_status tni_http_events_open(struct tn_ingest *ingest, struct tn_err *err);
void tni_http_events_close(struct tni_events *events); /* NULL is a no-op */
enum tn_status tni_http_events_stream(void *ctx, struct tn_http_request *req, struct tn_err *err);
enum tn_status tni_http_events_all(void *ctx, struct tn_http_request *req, struct tn_err *err);

#endif
