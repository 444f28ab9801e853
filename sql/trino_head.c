/* Request headers of the Trino protocol: who asks, from which client, with which session. Names are
 * X-Trino-* or X-Presto-*; one family per request. Later requests of a query carry none of this, so
 * it is kept with the query.
 *
 * @thread polling threads */
#include <stdio.h>
#include <stdlib.h>

#include "sql/parse.h"
#include "sql/trino_int.h"
#include "stream/base/base64.h"
#include "stream/base/mem.h"
#include "stream/base/utf8.h"
#include "stream/base/zone.h"

struct head {
    struct tni_trino_query *query;
    struct tn_http_request *req;
    struct tn_err *err;
    enum tn_status st;
    int status;
    bool has_trino, has_presto;
    struct tn_str host, proto, forwarded_host, authorization;
};

static void copy_text(char *to, size_t size, struct tn_str text)
{
    size_t len = text.len < size ? text.len : size - 1;
    memcpy(to, text.ptr, len);
    to[len] = 0;
}

static struct tn_str trim(struct tn_str text)
{
    while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "+" is a space, "%XX" a byte. ptr NULL: malformed. */
static struct tn_str url_decode(struct tn_arena *arena, struct tn_str text)
{
    char *out = tn_arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_of(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_of(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return (struct tn_str){NULL, 0};
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        out[len++] = c;
    }
    out[len] = 0;
    return (struct tn_str){out, len};
}

static enum tn_status refuse(struct head *head, int status, const char *message)
{
    head->status = status;
    head->st = tn_err_set(head->err, TN_E_INVALID, "%s", message);
    return head->st;
}

/* "name=urlenc(value)[,…]": calls `each` for every pair; both are decoded and live in the arena. */
static void each_pair(struct head *head, struct tn_str list, const char *what,
                      void (*each)(struct head *head, struct tn_str name, struct tn_str value))
{
    struct tn_arena *arena = &head->query->arena;
    for (size_t at = 0; at < list.len && head->st == TN_OK;) {
        size_t end = at;
        while (end < list.len && list.ptr[end] != ',')
            end++;
        struct tn_str item = trim((struct tn_str){list.ptr + at, end - at});
        at = end + 1;
        if (item.len == 0)
            continue;
        const char *equals = memchr(item.ptr, '=', item.len);
        if (!equals) {
            (void)refuse(head, 400, tn_arena_printf(arena, "Invalid %s header", what));
            return;
        }
        size_t name_len = (size_t)(equals - item.ptr);
        struct tn_str name = url_decode(arena, trim((struct tn_str){item.ptr, name_len}));
        struct tn_str value =
            url_decode(arena, trim((struct tn_str){equals + 1, item.len - name_len - 1}));
        if (!name.ptr || !value.ptr || !tn_utf8_ok(value.ptr, value.len)) {
            (void)refuse(head, 400, tn_arena_printf(arena, "Invalid %s header", what));
            return;
        }
        each(head, name, value);
    }
}

static void on_prepared(struct head *head, struct tn_str name, struct tn_str value)
{
    struct tn_session *session = &head->query->session;
    for (uint32_t i = 0; i < session->prepared_count; i++)
        if (tn_str_eq(session->prepared[i].name, name)) {
            session->prepared[i].text = value;
            return;
        }
    if (session->prepared_count == TNI_TRINO_PREPARED_MAX) {
        (void)refuse(head, 400, "too many prepared statements");
        return;
    }
    if (!session->prepared)
        session->prepared =
            TN_ARENA_ARRAY(&head->query->arena, struct tn_prepared, TNI_TRINO_PREPARED_MAX);
    session->prepared[session->prepared_count++] = (struct tn_prepared){name, value};
}

static void on_session(struct head *head, struct tn_str name, struct tn_str value)
{
    struct tn_err *err = head->err;
    if (tn_failed(tn_session_property(&head->query->session, name, value, err))) {
        /* told as the result of the query, as Trino does */
        head->query->err = *err;
        head->query->err.code = TN_E_INVALID;
    }
}

static void on_capabilities(struct head *head, struct tn_str list)
{
    static const char wanted[] = "PARAMETRIC_DATETIME";
    if (memmem(list.ptr, list.len, wanted, sizeof wanted - 1))
        head->query->client.has_datetime = true;
}

static void on_member(struct head *head, struct tn_str suffix, struct tn_str value)
{
    struct tni_trino_query *query = head->query;
    struct tni_trino_client *client = &query->client;
    if (tn_str_eq_nocase(suffix, TN_STR("User"))) {
        copy_text(client->user, sizeof client->user, trim(value));
    } else if (tn_str_eq_nocase(suffix, TN_STR("Source"))) {
        copy_text(client->source, sizeof client->source, value);
    } else if (tn_str_eq_nocase(suffix, TN_STR("Catalog"))) {
        client->has_catalog = value.len > 0;
        if (value.len)
            copy_text(query->session.catalog, sizeof query->session.catalog, trim(value));
    } else if (tn_str_eq_nocase(suffix, TN_STR("Schema"))) {
        client->has_schema = value.len > 0;
        if (value.len)
            copy_text(query->session.schema, sizeof query->session.schema, trim(value));
    } else if (tn_str_eq_nocase(suffix, TN_STR("Time-Zone"))) {
        copy_text(query->session.time_zone, sizeof query->session.time_zone, trim(value));
    } else if (tn_str_eq_nocase(suffix, TN_STR("Session"))) {
        each_pair(head, value, client->is_presto ? "X-Presto-Session" : "X-Trino-Session",
                  on_session);
    } else if (tn_str_eq_nocase(suffix, TN_STR("Prepared-Statement"))) {
        each_pair(head, value, "X-Trino-Prepared-Statement", on_prepared);
    } else if (tn_str_eq_nocase(suffix, TN_STR("Transaction-Id"))) {
        client->has_transactions = true;
        if (!tn_str_eq_nocase(value, TN_STR("NONE")))
            copy_text(client->transaction, sizeof client->transaction, trim(value));
    } else if (tn_str_eq_nocase(suffix, TN_STR("Client-Capabilities"))) {
        on_capabilities(head, value);
    }
}

static bool on_header(void *ctx, struct tn_str name, struct tn_str value)
{
    struct head *head = ctx;
    if (name.len > 8 && tn_str_eq_nocase((struct tn_str){name.ptr, 8}, TN_STR("X-Trino-"))) {
        head->has_trino = true;
        on_member(head, (struct tn_str){name.ptr + 8, name.len - 8}, value);
    } else if (name.len > 9 &&
               tn_str_eq_nocase((struct tn_str){name.ptr, 9}, TN_STR("X-Presto-"))) {
        head->has_presto = true;
        head->query->client.is_presto = true;
        on_member(head, (struct tn_str){name.ptr + 9, name.len - 9}, value);
    } else if (tn_str_eq_nocase(name, TN_STR("Host"))) {
        head->host = value;
    } else if (tn_str_eq_nocase(name, TN_STR("Authorization"))) {
        head->authorization = value;
    }
    return head->st == TN_OK;
}

/* The name of Basic authentication stands in for a missing user. */
static void user_of_basic(struct head *head)
{
    struct tn_str text = head->authorization;
    struct tni_trino_client *client = &head->query->client;
    if (text.len < 6 || !tn_str_eq_nocase((struct tn_str){text.ptr, 6}, TN_STR("Basic ")))
        return;
    text = trim((struct tn_str){text.ptr + 6, text.len - 6});
    char *plain = tn_arena_alloc(&head->query->arena, text.len + 4);
    int64_t len = tn_base64_decode(text, plain);
    if (len < 0)
        return;
    const char *colon = memchr(plain, ':', (size_t)len);
    copy_text(client->user, sizeof client->user,
              (struct tn_str){plain, colon ? (size_t)(colon - plain) : (size_t)len});
}

static enum tn_status check_zone(struct tni_trino_query *query, struct tn_err *err)
{
    char *zone = query->session.time_zone;
    if (!zone[0] || tn_zone_find(tn_str_of(zone)))
        return TN_OK;
    tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", 0, 0, "Time zone not supported: %s", zone);
    query->err = *err;
    zone[0] = 0;
    return TN_OK;
}

enum tn_status tni_trino_read_head(struct tn_http_request *req, struct tni_trino_query *query,
                                   int *ret_status, struct tn_err *err)
{
    struct head head = {.query = query, .req = req, .err = err, .st = TN_OK, .status = 400};
    tn_http_headers_each(req, on_header, &head);
    if (head.st == TN_OK && head.has_trino && head.has_presto)
        (void)refuse(&head, 401, "one family of headers expected, X-Trino-* or X-Presto-*");
    if (head.st == TN_OK && !query->client.user[0])
        user_of_basic(&head);
    if (head.st == TN_OK && !query->client.user[0])
        (void)refuse(&head, 401, "X-Trino-User must be sent");
    *ret_status = head.status;
    TN_TRY(head.st);
    query->session.user = query->client.user;
    query->session.statement_bytes_max = TN_PARSE_BYTES_MAX;
    query->session.is_presto = query->client.is_presto;
    struct tn_str host =
        head.host.len ? head.host : tn_str_of(tn_http_address(query->trino->server));
    snprintf(query->client.base, sizeof query->client.base, "http://%.*s",
             (int)(host.len < 160 ? host.len : 160), host.ptr);
    return check_zone(query, err);
}
