/* The directory of the processes of one application. Contract: sql/members.h.
 *
 * A record's key is the id of a state folder, its value the text "1 URL TOKEN p,p,… VERSION":
 * everything that process owns ("-": nothing), and the version of the catalog it has applied. The
 * newest record that claims a partition has it; a process that was killed keeps its claims until
 * somebody else makes them, and requests to it fail meanwhile. Who ends cleanly writes a tombstone.
 *
 * One thread reads the topic and publishes the partitions of this process when they have changed.
 * @thread "members"; the lock guards what others read
 */
#include "sql/members_int.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "connectors/wait.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define LOOK_MS       100
#define READ_BYTES    ((size_t)256 << 10)
#define IDLE_MAX      16u
#define LEAVE_LOOKS   10
#define VERSION_LOOKS 100

/* ---- what is known ---- */

static struct tni_member *find_member(struct tn_members *members, struct tn_str id)
{
    for (uint32_t i = 0; i < members->count; i++)
        if (tn_str_eq(tn_str_of(members->items[i].id), id))
            return &members->items[i];
    return NULL;
}

/* A slot of its own, or that of one that is gone. */
static struct tni_member *make_member(struct tn_members *members, struct tn_str id)
{
    struct tni_member *member = find_member(members, id);
    for (uint32_t i = 0; !member && i < members->count; i++)
        if (members->items[i].is_gone)
            member = &members->items[i];
    if (!member && members->count < TNI_MEMBERS_MAX)
        member = &members->items[members->count++];
    if (!member || id.len >= sizeof member->id)
        return NULL;
    memcpy(member->id, id.ptr, id.len);
    member->id[id.len] = 0;
    return member;
}

static void unclaim(struct tn_members *members, const struct tni_member *member)
{
    uint16_t number = (uint16_t)(member - members->items + 1);
    for (int32_t p = 0; p < TN_PARTITIONS_MAX; p++)
        if (members->owners[p] == number)
            members->owners[p] = 0;
}

static void claim(struct tn_members *members, const struct tni_member *member, const char *list)
{
    uint16_t number = (uint16_t)(member - members->items + 1);
    while (*list >= '0' && *list <= '9') {
        char *end;
        long p = strtol(list, &end, 10);
        if (p >= 0 && p < TN_PARTITIONS_MAX)
            members->owners[p] = number;
        list = *end == ',' ? end + 1 : end;
    }
}

/* "1 URL TOKEN p,p,… VERSION": false when it is none. */
static bool parse_member(struct tni_member *member, char *text, const char **ret_list)
{
    char *save = NULL;
    const char *version = strtok_r(text, " ", &save), *url = strtok_r(NULL, " ", &save);
    const char *token = strtok_r(NULL, " ", &save), *list = strtok_r(NULL, " ", &save);
    const char *applied = strtok_r(NULL, " ", &save);
    if (!version || strcmp(version, "1") != 0 || !url || !token ||
        strlen(url) >= sizeof member->url || strlen(token) >= sizeof member->token)
        return false;
    snprintf(member->url, sizeof member->url, "%s", url);
    snprintf(member->token, sizeof member->token, "%s", token);
    member->version = applied ? strtoll(applied, NULL, 10) : 0;
    *ret_list = list ? list : "";
    return true;
}

static void take_record(struct tn_members *members, struct tn_str key, struct tn_str value)
{
    if (!key.ptr || !key.len)
        return;
    struct tni_member *member = value.ptr ? make_member(members, key) : find_member(members, key);
    const char *list = "";
    if (!member)
        return;
    unclaim(members, member);
    char *text = value.ptr ? tn_strndup(value.ptr, value.len) : NULL;
    member->is_gone = !text || !parse_member(member, text, &list);
    if (!member->is_gone)
        claim(members, member, list);
    tn_free(text);
    members->changes++;
}

static bool is_self(const struct tn_members *members, const struct tni_member *member)
{
    return strcmp(member->id, members->config.instance_id) == 0;
}

bool tni_members_owner(struct tn_members *members, int32_t p, struct tni_member *ret_member)
{
    pthread_mutex_lock(&members->lock);
    uint16_t number = p < TN_PARTITIONS_MAX ? members->owners[p] : 0;
    if (number)
        *ret_member = members->items[number - 1];
    pthread_mutex_unlock(&members->lock);
    return number != 0;
}

uint32_t tni_members_others(struct tn_members *members, struct tni_member *ret, uint32_t max)
{
    uint32_t count = 0;
    pthread_mutex_lock(&members->lock);
    for (uint32_t i = 0; i < members->count && count < max; i++) {
        bool is_owner = false;
        for (int32_t p = 0; p < TN_PARTITIONS_MAX && !is_owner; p++)
            is_owner = members->owners[p] == i + 1;
        if (is_owner && !members->items[i].is_gone && !is_self(members, &members->items[i]))
            ret[count++] = members->items[i];
    }
    pthread_mutex_unlock(&members->lock);
    return count;
}

bool tni_members_is_complete(struct tn_members *members)
{
    int32_t *list = tn_alloc_array(TN_PARTITIONS_MAX, sizeof *list);
    int32_t count = tn_engine_owned(members->config.engine, list, TN_PARTITIONS_MAX);
    int32_t width = tn_engine_shared_partitions(members->config.engine);
    uint8_t ours[TNI_PART_BYTES] = {0};
    struct tni_member member;
    bool is_complete = true;
    for (int32_t i = 0; i < count; i++)
        tni_part_put(ours, list[i], true);
    for (int32_t p = 0; p < width && p < TN_PARTITIONS_MAX && is_complete; p++)
        is_complete = tni_part_is_set(ours, p) ||
                      (tni_members_owner(members, p, &member) && !is_self(members, &member));
    tn_free(list);
    return is_complete;
}

uint64_t tni_members_changes(struct tn_members *members)
{
    pthread_mutex_lock(&members->lock);
    uint64_t changes = members->changes;
    pthread_mutex_unlock(&members->lock);
    return changes + ((uint64_t)tn_engine_epoch(members->config.engine) << 32);
}

static void wait_locked(struct tn_members *members, int64_t ms);

void tni_members_await_version(struct tn_members *members, int64_t version)
{
    struct tni_member *others = tn_alloc_array(TNI_MEMBERS_MAX, sizeof *others);
    bool is_behind = true;
    for (int i = 0; i < VERSION_LOOKS && is_behind; i++) {
        uint32_t count = tni_members_others(members, others, TNI_MEMBERS_MAX);
        is_behind = false;
        for (uint32_t m = 0; m < count; m++)
            is_behind |= others[m].version < version;
        if (is_behind)
            tni_members_wait(members);
    }
    if (is_behind)
        tn_logf(TN_LOG_WARN, "members", "not every process has applied catalog version %lld yet",
                (long long)version);
    tn_free(others);
}

static void wait_locked(struct tn_members *members, int64_t ms)
{
    (void)tn_cond_wait_for(&members->cond, &members->lock, ms * 1000000);
}

void tni_members_wait(struct tn_members *members)
{
    pthread_mutex_lock(&members->lock);
    if (!members->is_over)
        wait_locked(members, LOOK_MS / 2);
    pthread_mutex_unlock(&members->lock);
}

/* ---- the topic ---- */

static void signal_wake(struct tn_wake *wake)
{
    struct tn_members *members =
        (struct tn_members *)(void *)((char *)wake - offsetof(struct tn_members, wake));
    pthread_mutex_lock(&members->lock);
    members->is_signalled = true;
    pthread_cond_broadcast(&members->cond);
    pthread_mutex_unlock(&members->lock);
}

/* From its first record on; a topic that was deleted is made again. */
static enum tn_status open_topic(struct tn_members *members, struct tn_err *err)
{
    const struct tn_log_type *type = members->config.log->type;
    struct tn_offsets offsets;
    char name[TN_TOPIC_NAME_MAX + 1];
    int len = snprintf(name, sizeof name, "%s-members", members->config.application_id);
    if (len < 0 || (size_t)len >= sizeof name)
        return tn_err_set(err, TN_E_INVALID, "application.id '%s' is too long",
                          members->config.application_id);
    enum tn_status st = type->topic_find(members->config.log, name, &members->topic, err);
    if (st == TN_NOT_FOUND) {
        struct tn_topic_spec spec = {.name = name,
                                     .partitions_count = 1,
                                     .cleanup = TN_CLEANUP_COMPACT,
                                     .retention_ms = -1,
                                     .retention_bytes = -1};
        TN_TRY(type->topic_create(members->config.log, &spec, err));
        st = type->topic_find(members->config.log, name, &members->topic, err);
    }
    if (st != TN_OK)
        return tn_failed(st) ? st : tn_err_set(err, TN_E_NAME, "topic '%s' is gone", name);
    TN_TRY(type->offsets(members->config.log, &members->topic, 0, &offsets, err));
    members->next = offsets.start;
    return TN_OK;
}

static enum tn_status read_some(struct tn_members *members, bool *ret_more, struct tn_err *err)
{
    const struct tn_log_type *type = members->config.log->type;
    struct tn_read read = {0};
    enum tn_status st =
        type->read(members->reader, &members->topic, 0, members->next, READ_BYTES, &read, err);
    *ret_more = false;
    if (st == TN_NOT_FOUND || st == TN_E_INVALID) { /* made anew, or expired below us */
        pthread_mutex_lock(&members->lock);
        members->is_published = false;
        pthread_mutex_unlock(&members->lock);
        return open_topic(members, err);
    }
    if (tn_failed(st))
        return st;
    pthread_mutex_lock(&members->lock);
    for (uint32_t i = 0; st == TN_OK && i < read.records->count; i++)
        take_record(members, read.records->keys[i], read.records->values[i]);
    if (st == TN_OK)
        pthread_cond_broadcast(&members->cond);
    pthread_mutex_unlock(&members->lock);
    if (st == TN_OK)
        tn_records_unref(read.records);
    *ret_more = st == TN_OK;
    members->next = read.next;
    return TN_OK;
}

/* ---- publishing ---- */

/* One append on its way; the members may be closed before the log answers. */
struct tni_members_note {
    struct tn_members *members; /* NULL: closed */
};
static pthread_mutex_t notes_lock = PTHREAD_MUTEX_INITIALIZER; /* their `members` */

static void append_done(void *ctx, enum tn_status st, int64_t base_offset, const struct tn_err *err)
{
    struct tni_members_note *note = ctx;
    (void)base_offset;
    if (tn_failed(st))
        tn_logf(TN_LOG_WARN, "members", "this process is not published: %s",
                err ? err->message : "");
    pthread_mutex_lock(&notes_lock);
    struct tn_members *members = note->members;
    if (members) {
        pthread_mutex_lock(&members->lock);
        members->note = NULL;
        members->is_published = members->is_published && !tn_failed(st);
        pthread_cond_broadcast(&members->cond);
        pthread_mutex_unlock(&members->lock);
    }
    pthread_mutex_unlock(&notes_lock);
    tn_free(note);
}

static struct tni_members_note *note_new(struct tn_members *members)
{
    struct tni_members_note *note = tn_alloc(sizeof *note);
    note->members = members;
    return note;
}

static void append_record(struct tn_members *members, struct tn_str value)
{
    struct tn_records_builder rb;
    tn_records_builder_init(&rb);
    tn_records_builder_add(&rb, tn_str_of(members->config.instance_id), value,
                           tn_wall_ms(members->config.clock));
    struct tn_records *records = tn_records_builder_finish(&rb);
    tn_records_builder_release(&rb);
    members->config.log->type->append(members->config.log, &members->topic, 0, records, append_done,
                                      members->note);
    tn_records_unref(records);
}

static int64_t applied_version(const struct tn_members *members)
{
    const struct tn_catalog *catalog = tn_db_catalog(members->config.db);
    int64_t version = tn_catalog_version(catalog);
    tn_catalog_unref(catalog);
    return version;
}

/* The partitions of now; true when they differ from those published. */
static bool has_news(struct tn_members *members, uint8_t *bits, int32_t *list, int32_t *ret_count)
{
    int32_t count = tn_engine_owned(members->config.engine, list, TN_PARTITIONS_MAX);
    int64_t version = applied_version(members);
    memset(bits, 0, TNI_PART_BYTES);
    for (int32_t i = 0; i < count; i++)
        tni_part_put(bits, list[i], true);
    *ret_count = count;
    pthread_mutex_lock(&members->lock);
    bool is_new = !members->note && count >= 0 &&
                  (!members->is_published || version != members->published_version ||
                   memcmp(bits, members->published, TNI_PART_BYTES) != 0);
    if (is_new) {
        members->note = note_new(members);
        members->is_published = true;
        members->published_version = version;
        memcpy(members->published, bits, TNI_PART_BYTES);
    }
    pthread_mutex_unlock(&members->lock);
    return is_new;
}

static void publish(struct tn_members *members)
{
    uint8_t bits[TNI_PART_BYTES];
    int32_t *list = tn_alloc_array(TN_PARTITIONS_MAX, sizeof *list), count;
    if (has_news(members, bits, list, &count)) {
        struct tn_buf text;
        tn_buf_init(&text, (size_t)1 << 20);
        tn_buf_printf(&text, "1 %s %s", members->url, members->token);
        for (int32_t i = 0; i < count; i++)
            tn_buf_printf(&text, i ? ",%d" : " %d", list[i]);
        tn_buf_printf(&text, count ? " %lld" : " - %lld", (long long)members->published_version);
        append_record(members, tn_buf_str(&text));
        tn_buf_release(&text);
    }
    tn_free(list);
}

/* Until the append is answered, LEAVE_LOOKS moments at most. */
static bool note_wait(struct tn_members *members)
{
    for (int i = 0; i < LEAVE_LOOKS && members->note; i++)
        wait_locked(members, LOOK_MS);
    return !members->note;
}

/* From now on no process shall ask this one. */
static void unpublish(struct tn_members *members)
{
    pthread_mutex_lock(&members->lock);
    bool is_wanted = note_wait(members) && members->is_published;
    if (is_wanted)
        members->note = note_new(members);
    pthread_mutex_unlock(&members->lock);
    if (is_wanted)
        append_record(members, (struct tn_str){0});
    pthread_mutex_lock(&members->lock);
    (void)note_wait(members);
    pthread_mutex_unlock(&members->lock);
    pthread_mutex_lock(&notes_lock);
    if (members->note)
        members->note->members = NULL;
    pthread_mutex_unlock(&notes_lock);
}

static void report(struct tn_members *members, enum tn_status st, const struct tn_err *err)
{
    if (tn_failed(st) && !members->has_failed)
        tn_logf(TN_LOG_WARN, "members", "the other processes are not followed: %s", err->message);
    members->has_failed = tn_failed(st);
}

static void *members_main(void *arg)
{
    struct tn_members *members = arg;
    bool is_over = false;
    while (!is_over) {
        struct tn_err err = TN_ERR_INIT;
        bool has_more;
        report(members, read_some(members, &has_more, &err), &err);
        publish(members);
        pthread_mutex_lock(&members->lock);
        if (!has_more && !members->is_signalled && !members->is_over)
            wait_locked(members, LOOK_MS);
        members->is_signalled = false;
        is_over = members->is_over;
        pthread_mutex_unlock(&members->lock);
    }
    return NULL;
}

/* ---- connections ---- */

static void client_free(struct tni_member_client *client)
{
    tn_http_client_free(client->client);
    tn_free(client);
}

enum tn_status tni_member_client_take(struct tn_members *members, const struct tni_member *member,
                                      struct tni_member_client **ret_client, struct tn_err *err)
{
    struct tni_member_client *client = NULL;
    pthread_mutex_lock(&members->lock);
    for (struct tni_member_client **at = &members->idle; *at && !client; at = &(*at)->next)
        if (!strcmp((*at)->url, member->url)) {
            client = *at;
            *at = client->next;
            members->idle_count--;
            break;
        }
    pthread_mutex_unlock(&members->lock);
    if (!client) {
        struct tn_http_client *http;
        TN_TRY(tn_http_client_new(member->url, TNI_MEMBER_CALL_MS, &http, err));
        client = tn_alloc(sizeof *client);
        client->client = http;
    }
    memcpy(client->url, member->url, sizeof client->url);
    memcpy(client->token, member->token, sizeof client->token);
    *ret_client = client;
    return TN_OK;
}

void tni_member_client_give(struct tn_members *members, struct tni_member_client *client,
                            bool is_usable)
{
    if (!client)
        return;
    pthread_mutex_lock(&members->lock);
    is_usable = is_usable && members->idle_count < IDLE_MAX;
    if (is_usable) {
        client->next = members->idle;
        members->idle = client;
        members->idle_count++;
    }
    pthread_mutex_unlock(&members->lock);
    if (!is_usable)
        client_free(client);
}

enum tn_status tni_member_call(struct tni_member_client *client, const char *path,
                               struct tn_str body, struct tn_str *ret_answer, struct tn_err *err)
{
    char bearer[TNI_OBJECT_TOKEN + 16];
    struct tn_http_response response;
    snprintf(bearer, sizeof bearer, "Bearer %s", client->token);
    struct tn_http_header_pair headers[] = {{"Authorization", bearer},
                                            {"Content-Type", "application/octet-stream"}};
    TN_TRY(tn_http_call(client->client, "POST", path, headers, 2, body, &response, err));
    if (response.status >= 400)
        return tn_http_response_error(&response, err);
    *ret_answer = response.body;
    return TN_OK;
}

/* ---- life ---- */

enum tn_status tn_members_open(const struct tn_members_config *config,
                               struct tn_http_server *server, struct tn_members **ret_members,
                               struct tn_err *err)
{
    struct tn_members *members = tn_alloc(sizeof *members);
    enum tn_status st;
    members->config = *config;
    members->wake.signal = signal_wake;
    snprintf(members->url, sizeof members->url, "http://%s", config->address);
    tni_object_token(members->token);
    pthread_mutex_init(&members->lock, NULL);
    pthread_cond_init(&members->cond, NULL);
    TN_GOTO(open_topic(members, err));
    TN_GOTO(config->log->type->reader_open(config->log, &members->wake, &members->reader, err));
    TN_GOTO(tni_members_serve_open(members, server, err));
    if (pthread_create(&members->thread, NULL, members_main, members) != 0)
        TN_GOTO(tn_err_set(err, TN_E_LIMIT, "cannot start the members' thread"));
    members->has_thread = true;
    atomic_store(&config->db->members, members);
    *ret_members = members;
    return TN_OK;
fail:
    tn_members_close(members);
    return st;
}

void tn_members_close(struct tn_members *members)
{
    if (!members)
        return;
    pthread_mutex_lock(&members->lock);
    members->is_over = true;
    pthread_cond_broadcast(&members->cond);
    pthread_mutex_unlock(&members->lock);
    if (members->has_thread) {
        pthread_join(members->thread, NULL);
        unpublish(members);
    }
    atomic_store(&members->config.db->members, NULL);
    tni_members_serve_close(members);
    if (members->reader)
        members->config.log->type->reader_close(members->reader);
    for (struct tni_member_client *next; members->idle; members->idle = next) {
        next = members->idle->next;
        client_free(members->idle);
    }
    pthread_cond_destroy(&members->cond);
    pthread_mutex_destroy(&members->lock);
    tn_free(members);
}
