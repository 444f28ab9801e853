/* The side that asks: rows of partitions that other processes own. Contract: members_int.h.
 *
 * HOW IT WORKS. Partitions that are not here go, by owner, into one request per process, one after
 * the other. A process answers for those it has and names those it has not (given away or being
 * restored meanwhile); these are asked for again as the directory changes, `patience_ms` long.
 * A partition's rows come from one process and one scan: when that fails halfway, the statement
 * fails, retriably.
 *
 * All scans of a statement at one process share the pin that the first of them took there; the
 * statement's end is told to every process that was asked.
 *
 * Ownership: a gather is heap memory with its own arena. @thread the statement's
 */
#include "sql/members_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "stream/base/mem.h"
#include "stream/base/random.h"
#include "stream/scan_wire.h"

#define ASK_BYTES ((size_t)8 << 20)

/* Of one statement: in its arena, hung on the context. */
struct tni_asked {
    char id[TNI_STATEMENT_BYTES];
    uint32_t count;
    struct tni_member items[TNI_MEMBERS_MAX];
};

struct tni_gather {
    struct tni_exec_ctx *ctx;
    struct tn_members *members;
    const char *query_id, *name;
    const struct tn_schema *schema;
    const struct tn_key_filter *filter; /* the caller's, as long as the gather */
    const struct tni_partial *partial;  /* likewise; NULL = rows are wanted */
    uint32_t keys_count;
    bool *needed;
    uint8_t left[TNI_PART_BYTES]; /* nobody has answered for them yet */
    int32_t left_count;
    int64_t give_up_ns;
    struct tn_err why; /* the last refusal */
    /* the process being read */
    struct tni_member member;
    struct tni_member_client *client;
    uint64_t scan;
    const char *at, *end; /* of the page, in the client */
    bool is_last;
    struct tn_arena arena; /* of one batch */
    struct tn_arena keep;
};

static void parts_text(const struct tni_gather *gather, char *text, size_t size)
{
    size_t len = 0;
    text[0] = 0;
    for (int32_t p = 0; p < TN_PARTITIONS_MAX && len + 8 < size; p++)
        if (tni_part_is_set(gather->left, p))
            len += (size_t)snprintf(text + len, size - len, len ? ", %d" : "%d", p);
}

/* ---- what is left, and with whom ---- */

static bool is_self(const struct tn_members *members, const struct tni_member *member)
{
    return !strcmp(member->id, members->config.instance_id);
}

/* The next process that has something of what is left, with what it has; false: nobody has. */
static bool next_member(struct tni_gather *gather, const bool *is_tried, uint8_t *wanted,
                        struct tni_member *ret_member)
{
    bool is_found = false;
    struct tni_member member;
    memset(wanted, 0, TNI_PART_BYTES);
    for (int32_t p = 0; p < TN_PARTITIONS_MAX; p++) {
        if (!tni_part_is_set(gather->left, p) || is_tried[p] ||
            !tni_members_owner(gather->members, p, &member) || is_self(gather->members, &member))
            continue;
        if (is_found && strcmp(member.id, ret_member->id) != 0)
            continue;
        *ret_member = member;
        is_found = true;
        tni_part_put(wanted, p, true);
    }
    return is_found;
}

static enum tn_status refuse(struct tni_gather *gather, struct tn_err *err)
{
    char parts[160];
    struct tni_member member;
    int32_t first = 0;
    parts_text(gather, parts, sizeof parts);
    while (!tni_part_is_set(gather->left, first))
        first++;
    bool is_known = tni_members_owner(gather->members, first, &member);
    struct tn_buf why;
    tn_buf_init(&why, TN_ERR_MESSAGE_MAX);
    bool is_withheld = tn_engine_is_withheld(gather->ctx->engine, &why);
    gather->ctx->is_hopeless = is_withheld && !gather->why.message[0];
    if (gather->ctx->is_hopeless)
        tn_err_set(err, TN_E_BUSY,
                   "partitions %s of '%s' have no owner: this process takes no "
                   "tasks: %s",
                   parts, gather->name, tn_buf_cstr(&why));
    else if (gather->why.message[0])
        tn_err_set(err, TN_E_BUSY, "partitions %s of '%s': %.200s", parts, gather->name,
                   gather->why.message);
    else if (is_known && is_self(gather->members, &member))
        tn_err_set(err, TN_E_BUSY, "partitions %s of '%s' are being restored here", parts,
                   gather->name);
    else if (is_known)
        tn_err_set(err, TN_E_BUSY, "partitions %s of '%s' are at another process, %s", parts,
                   gather->name, member.url);
    else
        tn_err_set(err, TN_E_BUSY, "partitions %s of '%s' have no owner at the moment", parts,
                   gather->name);
    tn_err_hint(err, gather->members->config.is_refusing
                         ? "ask that process, or set sql.gather=true"
                         : "try again; sql.standby.reads=true answers from copies here");
    tn_buf_release(&why);
    if (err)
        err->retriable = true;
    return TN_E_BUSY;
}

/* ---- one process ---- */

static struct tni_asked *asked_of(struct tni_exec_ctx *ctx)
{
    if (!ctx->asked) {
        struct tni_asked *asked = TN_ARENA_NEW(ctx->arena, struct tni_asked);
        char token[TNI_OBJECT_TOKEN];
        tni_object_token(token);
        memcpy(asked->id, token, sizeof asked->id);
        ctx->asked = asked;
    }
    return ctx->asked;
}

static void note_asked(struct tni_asked *asked, const struct tni_member *member)
{
    for (uint32_t i = 0; i < asked->count; i++)
        if (!strcmp(asked->items[i].id, member->id))
            return;
    if (asked->count < TNI_MEMBERS_MAX)
        asked->items[asked->count++] = *member;
}

static void print_scan(const struct tni_gather *gather, const uint8_t *wanted, struct tn_buf *buf)
{
    tn_buf_add(buf, asked_of(gather->ctx)->id, TNI_STATEMENT_BYTES);
    struct tn_buf partial;
    tn_buf_init(&partial, ASK_BYTES);
    if (gather->partial)
        tni_partial_add(&partial, gather->partial);
    tni_scan_ask_add(buf, gather->query_id, gather->schema, gather->keys_count, wanted,
                     gather->needed, tn_buf_str(&partial), gather->filter);
    tn_buf_release(&partial);
}

/* The head of a page; *ret_missing has ptr NULL or all bits. */
static enum tn_status take_page(struct tni_gather *gather, struct tn_str page,
                                struct tn_str *ret_missing, struct tn_err *err)
{
    struct tni_scan_page head;
    if (!tni_scan_page_read(page, &head))
        return tn_err_set(err, TN_E_CORRUPT, "process %s answered something else",
                          gather->member.url);
    gather->is_last = head.is_last;
    gather->scan = head.scan;
    gather->at = head.rows;
    gather->end = head.end;
    *ret_missing = head.missing;
    return TN_OK;
}

static void leave_member(struct tni_gather *gather, bool is_usable)
{
    tni_member_client_give(gather->members, gather->client, is_usable);
    gather->client = NULL;
    gather->at = gather->end = NULL;
}

/* First page; what it does not have stays in `left`. */
static enum tn_status ask_member(struct tni_gather *gather, const uint8_t *wanted,
                                 struct tn_err *err)
{
    struct tn_buf ask;
    struct tn_str page, missing = {0};
    tn_buf_init(&ask, ASK_BYTES);
    note_asked(asked_of(gather->ctx), &gather->member);
    enum tn_status st =
        tni_member_client_take(gather->members, &gather->member, &gather->client, err);
    if (!tn_failed(st)) {
        print_scan(gather, wanted, &ask);
        st = tni_member_call(gather->client, "/members/scan", tn_buf_str(&ask), &page, err);
    }
    if (!tn_failed(st))
        st = take_page(gather, page, &missing, err);
    tn_buf_release(&ask);
    if (tn_failed(st)) {
        leave_member(gather, false);
        return st;
    }
    for (int32_t p = 0; p < TN_PARTITIONS_MAX; p++) {
        bool is_missing = missing.len && tni_part_is_set((const uint8_t *)missing.ptr, p);
        if (!tni_part_is_set(wanted, p) || is_missing)
            continue;
        tni_part_put(gather->left, p, false);
        gather->left_count--;
    }
    return TN_OK;
}

/* Partitions that this process was asked for and did not give are not asked for again in this
 * turn. */
static void mark_tried(const struct tni_gather *gather, const uint8_t *wanted, bool *is_tried)
{
    (void)gather;
    for (int32_t p = 0; p < TN_PARTITIONS_MAX; p++)
        is_tried[p] |= tni_part_is_set(wanted, p);
}

/* One turn over the directory until somebody has answered: TN_OK; TN_AGAIN: nobody has. */
static enum tn_status ask_around(struct tni_gather *gather, struct tn_err *err)
{
    uint8_t wanted[TNI_PART_BYTES];
    bool *is_tried = TN_ARENA_ARRAY(&gather->arena, bool, TN_PARTITIONS_MAX);
    while (next_member(gather, is_tried, wanted, &gather->member)) {
        int32_t before = gather->left_count;
        struct tn_err why = TN_ERR_INIT;
        enum tn_status st = ask_member(gather, wanted, &why);
        mark_tried(gather, wanted, is_tried);
        if (tn_failed(st)) {
            tn_err_set(&gather->why, st, "process %s: %.200s", gather->member.url, why.message);
        } else if (gather->left_count < before) {
            return TN_OK;
        } else {
            tn_err_set(&gather->why, TN_E_BUSY,
                       "process %s is restoring them, or has given them away", gather->member.url);
            leave_member(gather, true);
        }
        TN_TRY(tn_budget_check(gather->ctx->budget, err));
    }
    return TN_AGAIN;
}

static enum tn_status find_rows(struct tni_gather *gather, struct tn_err *err)
{
    for (;;) {
        tn_arena_reset(&gather->arena);
        if (gather->members->config.is_refusing)
            return refuse(gather, err);
        enum tn_status st = ask_around(gather, err);
        if (st == TN_AGAIN && tn_mono_ns(gather->members->config.clock) >= gather->give_up_ns)
            return refuse(gather, err);
        if (st == TN_AGAIN)
            st = tn_budget_check(gather->ctx->budget, err);
        if (st == TN_E_TIMEOUT) /* which partitions says more than that it took too long */
            return refuse(gather, err);
        if (gather->client || tn_failed(st))
            return st;
        tni_members_wait(gather->members);
    }
}

static enum tn_status next_page(struct tni_gather *gather, struct tn_err *err)
{
    char ask[TNI_STATEMENT_BYTES + 8];
    struct tn_str page, missing;
    memcpy(ask, asked_of(gather->ctx)->id, TNI_STATEMENT_BYTES);
    for (int i = 0; i < 8; i++)
        ask[TNI_STATEMENT_BYTES + i] = (char)(gather->scan >> (56 - 8 * i));
    enum tn_status st = tni_member_call(gather->client, "/members/next",
                                        (struct tn_str){ask, sizeof ask}, &page, err);
    if (!tn_failed(st))
        return take_page(gather, page, &missing, err);
    tn_err_prefix(err, "process %s left while it answered", gather->member.url);
    if (err)
        err->retriable = true;
    return st;
}

static enum tn_status read_batch(struct tni_gather *gather, struct tn_batch **ret_batch,
                                 struct tn_err *err)
{
    if (gather->partial)
        return tn_scan_wire_read(&gather->at, gather->end, gather->partial->schema, NULL,
                                 &gather->arena, ret_batch, err);
    return tn_scan_wire_read(&gather->at, gather->end, gather->schema, gather->needed,
                             &gather->arena, ret_batch, err);
}

enum tn_status tni_gather_next(struct tni_gather *gather, struct tn_batch **ret_batch,
                               struct tn_err *err)
{
    for (;;) {
        TN_TRY(tn_budget_check(gather->ctx->budget, err));
        tn_arena_reset(&gather->arena);
        if (gather->client && gather->at < gather->end)
            return read_batch(gather, ret_batch, err);
        if (gather->client && !gather->is_last) {
            TN_TRY(next_page(gather, err));
            continue;
        }
        if (gather->client)
            leave_member(gather, true);
        if (gather->left_count == 0)
            return TN_END;
        TN_TRY(find_rows(gather, err));
    }
}

/* ---- life ---- */

bool tni_gather_takes_states(const struct tni_exec_ctx *ctx)
{
    return ctx->members && !ctx->members->config.has_standbys;
}

enum tn_status tni_gather_open(struct tni_exec_ctx *ctx, const struct tn_object *object,
                               const struct tn_schema *schema, const struct tn_key_filter *filter,
                               const bool *needed, const uint8_t *missing,
                               const struct tni_partial *partial, struct tni_gather **ret_gather,
                               struct tn_err *err)
{
    if (ctx->budget && ctx->budget->is_local) /* a polling thread waits for nobody */
        return tn_err_set(err, TN_E_TIMEOUT, "'%s' is not only here", object->name);
    struct tni_gather *gather = tn_alloc(sizeof *gather);
    tn_arena_init(&gather->arena, 0);
    tn_arena_init(&gather->keep, 0);
    gather->ctx = ctx;
    gather->members = ctx->members;
    gather->query_id = object->query_id;
    gather->name = object->name;
    gather->schema = schema;
    gather->filter = filter;
    gather->partial = partial;
    gather->keys_count = object->decl.keys_count;
    gather->needed = TN_ARENA_ARRAY(&gather->keep, bool, schema->fields_count + 1);
    memcpy(gather->needed, needed, schema->fields_count * sizeof *needed);
    memcpy(gather->left, missing, sizeof gather->left);
    for (int32_t p = 0; p < TN_PARTITIONS_MAX; p++)
        gather->left_count += tni_part_is_set(missing, p);
    gather->give_up_ns = tn_mono_ns(ctx->members->config.clock) +
                         ctx->members->config.patience_ms * INT64_C(1000000);
    *ret_gather = gather;
    return TN_OK;
}

const uint8_t *tni_gather_left(const struct tni_gather *gather)
{
    return gather->left;
}

void tni_gather_close(struct tni_gather *gather)
{
    if (!gather)
        return;
    leave_member(gather, false);
    tn_arena_release(&gather->arena);
    tn_arena_release(&gather->keep);
    tn_free(gather);
}

void tni_gather_release(struct tni_exec_ctx *ctx)
{
    struct tni_asked *asked = ctx->asked;
    ctx->asked = NULL;
    for (uint32_t i = 0; asked && i < asked->count; i++) {
        struct tni_member_client *client;
        struct tn_str answer;
        if (tn_failed(tni_member_client_take(ctx->members, &asked->items[i], &client, NULL)))
            continue;
        enum tn_status st =
            tni_member_call(client, "/members/done", (struct tn_str){asked->id, sizeof asked->id},
                            &answer, NULL); /* else it expires there */
        tni_member_client_give(ctx->members, client, !tn_failed(st));
    }
}

/* ---- freshness ---- */

static enum tn_status fresh_member(struct tn_members *members, const struct tni_member *member,
                                   struct tn_str ask, struct tn_budget *budget, struct tn_err *err)
{
    struct tni_member_client *client;
    struct tn_str answer;
    TN_TRY(tni_member_client_take(members, member, &client, err));
    enum tn_status st;
    do {
        st = tn_budget_check(budget, err);
        if (!tn_failed(st))
            st = tni_member_call(client, "/members/fresh", ask, &answer, err);
        if (!tn_failed(st) && answer.len != 1)
            st = tn_err_set(err, TN_E_CORRUPT, "process %s answered something else", member->url);
    } while (!tn_failed(st) && answer.ptr[0] == 0);
    if (!tn_failed(st))
        st = tni_member_call(client, "/members/done", (struct tn_str){ask.ptr, TNI_STATEMENT_BYTES},
                             &answer, err);
    tni_member_client_give(members, client, !tn_failed(st));
    return st;
}

enum tn_status tni_members_fresh(struct tn_members *members, const char *const *ids, size_t count,
                                 struct tn_budget *budget, uint32_t *ret_others, struct tn_err *err)
{
    struct tni_member *others = tn_alloc_array(TNI_MEMBERS_MAX, sizeof *others);
    uint32_t others_count = tni_members_others(members, others, TNI_MEMBERS_MAX);
    struct tn_buf ask;
    char token[TNI_OBJECT_TOKEN];
    enum tn_status st = TN_OK;
    tni_object_token(token);
    tn_buf_init(&ask, ASK_BYTES);
    tn_buf_add(&ask, token, TNI_STATEMENT_BYTES);
    for (size_t i = 0; i < count; i++)
        tn_buf_add_slice(&ask, tn_str_of(ids[i]));
    for (uint32_t i = 0; i < others_count && !tn_failed(st); i++) {
        struct tn_err why = TN_ERR_INIT;
        st = fresh_member(members, &others[i], tn_buf_str(&ask), budget, &why);
        if (st == TN_E_IO) { /* it left or died: who takes over may be behind */
            st = tn_err_set(err, TN_E_BUSY, "process %s does not answer: %.200s", others[i].url,
                            why.message);
            if (err)
                err->retriable = true;
        } else if (tn_failed(st) && err) {
            *err = why;
        }
    }
    tn_buf_release(&ask);
    tn_free(others);
    *ret_others = others_count;
    return st;
}
