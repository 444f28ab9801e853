/* Inside: the directory of processes, the answering side, the asking side. Contract: sql/members.h.
 *
 * A request is a POST with the token of the process asked, bodies are bytes (stream/scan_wire.h):
 *   /members/scan   statement 16 · query id · fingerprint · keys · wanted · needed · aggregates ·
 *                   filter → page
 *   /members/next   statement 16 · be64 scan → page
 *   /members/fresh  statement 16 · be32 ids, each a text → byte: 1 all has passed, 0 ask again
 *   /members/done   statement 16: its pin, scans and tickets are given back
 * page: byte 1 = last · be64 scan · be64 commit · bits of partitions that are not here · batches of
 * rows, or of states of the aggregates; then a group may come several times.
 * Texts and bits are a varint length and bytes. A request is never passed on: one hop.
 */
#ifndef TN_SQL_MEMBERS_INT_H
#define TN_SQL_MEMBERS_INT_H

#include <pthread.h>

#include "connectors/http_client.h"
#include "connectors/object_token.h"
#include "sql/db_int.h"
#include "sql/members.h"
#include "sql/members_partial.h"
#include "sql/members_wire.h"
#include "sql/scan_int.h"

#define TNI_MEMBERS_WIRE    1
#define TNI_STATEMENT_BYTES 16
#define TNI_MEMBER_URL_MAX  300
#define TNI_MEMBER_CALL_MS  10000
#define TNI_MEMBERS_MAX     256

struct tni_member {
    int64_t version; /* of the catalog it has applied */
    char id[80], url[TNI_MEMBER_URL_MAX], token[TNI_OBJECT_TOKEN];
    bool is_gone;
};

struct tni_member_client {
    struct tn_http_client *client;
    char url[TNI_MEMBER_URL_MAX], token[TNI_OBJECT_TOKEN];
    struct tni_member_client *next; /* idle ones */
};

struct tni_members_serve;
struct tni_members_note;

struct tn_members {
    struct tn_members_config config;
    char url[TNI_MEMBER_URL_MAX], token[TNI_OBJECT_TOKEN];
    struct tn_topic topic;
    struct tn_log_reader *reader;
    struct tn_wake wake;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t cond;  /* something was read or appended, or is_over */
    bool is_over, is_signalled, has_failed;
    struct tni_members_note *note; /* an append on its way */
    int64_t next;
    uint64_t changes; /* records taken */
    struct tni_member items[TNI_MEMBERS_MAX];
    uint32_t count;
    uint16_t owners[TN_PARTITIONS_MAX]; /* item + 1; 0 = nobody is known */
    uint8_t published[TNI_PART_BYTES];
    bool is_published;
    int64_t published_version;
    struct tni_member_client *idle;
    uint32_t idle_count;
    struct tni_members_serve *serve;
};

static inline bool tni_part_is_set(const uint8_t *bits, int32_t i)
{
    return bits[i / 8] >> (i % 8) & 1;
}
static inline void tni_part_put(uint8_t *bits, int32_t i, bool value)
{
    uint8_t mask = (uint8_t)(1u << (i % 8));
    bits[i / 8] = value ? (uint8_t)(bits[i / 8] | mask) : (uint8_t)(bits[i / 8] & ~mask);
}

/* ---- members.c: the directory ---- */
/* Who owns partition p; false: nobody is known. */
bool tni_members_owner(struct tn_members *members, int32_t p, struct tni_member *ret_member);
/* All others that are there; at most `max`. */
uint32_t tni_members_others(struct tn_members *members, struct tni_member *ret, uint32_t max);
/* Is every partition ours, or published by another process? */
bool tni_members_is_complete(struct tn_members *members);
/* Grows when partitions have moved, as far as is known here. */
uint64_t tni_members_changes(struct tn_members *members);
/* Until all others that own something have applied this version of the catalog, for a while. */
void tni_members_await_version(struct tn_members *members, int64_t version);
/* Until the directory changes, at most a moment. */
void tni_members_wait(struct tn_members *members);
/* A connection, kept for reuse. */
enum tn_status tni_member_client_take(struct tn_members *members, const struct tni_member *member,
                                      struct tni_member_client **ret_client, struct tn_err *err);
void tni_member_client_give(struct tn_members *members, struct tni_member_client *client,
                            bool is_usable);
/* The answer's body is valid until the client's next call. */
enum tn_status tni_member_call(struct tni_member_client *client, const char *path,
                               struct tn_str body, struct tn_str *ret_answer, struct tn_err *err);

/* ---- members_serve.c: the side that answers ---- */
enum tn_status tni_members_serve_open(struct tn_members *members, struct tn_http_server *server,
                                      struct tn_err *err);
void tni_members_serve_close(struct tn_members *members);

/* ---- members_scan.c: the side that asks ---- */
/* Rows of one table at other processes: batches of the engine's schema of the table. */
struct tni_gather;
enum tn_status tni_gather_open(struct tni_exec_ctx *ctx, const struct tn_object *object,
                               const struct tn_schema *schema, const struct tn_key_filter *filter,
                               const bool *needed, const uint8_t *missing,
                               const struct tni_partial *partial, /* NULL: rows */
                               struct tni_gather **ret_gather, struct tn_err *err);
/* May others be asked to begin aggregates? Not where copies here may take their place. */
bool tni_gather_takes_states(const struct tni_exec_ctx *ctx);
enum tn_status tni_gather_next(struct tni_gather *gather, struct tn_batch **ret_batch,
                               struct tn_err *err);
/* After TN_E_BUSY: the partitions nobody answered for. */
const uint8_t *tni_gather_left(const struct tni_gather *gather);
void tni_gather_close(struct tni_gather *gather); /* NULL is a no-op */
/* The statement is over: tell everybody that was asked. */
void tni_gather_release(struct tni_exec_ctx *ctx);
/* Have all other processes passed what was visible now? */
enum tn_status tni_members_fresh(struct tn_members *members, const char *const *ids, size_t count,
                                 struct tn_budget *budget, uint32_t *ret_others,
                                 struct tn_err *err);

#endif
