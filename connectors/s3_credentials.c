/* The credentials chain; see s3_credentials.h. Order of "chain": environment, web identity (only
 * where its variables are set), shared file. A container's or machine's service is asked only by
 * option, since asking addresses that do not exist costs seconds and may meet a stranger.
 *
 * Values are not validated beyond being there: the store judges them.
 */
#include "connectors/s3_credentials.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "connectors/http_client.h"
#include "connectors/s3_sign.h"
#include "connectors/s3_xml.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"
#include "stream/base/random.h"
#include "stream/base/time.h"

#define RENEW_BEFORE_MS  ((int64_t)5 * 60000)
#define RENEW_JITTER_MS  ((double)5 * 60000)
#define RENEW_PAUSE_MS   30000
#define FILE_CHECK_MS    1000
#define DOCUMENT_MAX     ((size_t)64 << 10)
#define CONTAINER_SERVER "http://169.254.170.2"
#define MACHINE_SERVER   "http://169.254.169.254"

struct tni_s3_credentials {
    const char *kind; /* s3.credentials */
    char *profile, *region;
    struct tn_clock *clock;
    struct tni_s3_keys keys;
    char source[300];
    char file[PATH_MAX]; /* where the keys came from; "" = no file */
    struct timespec file_time;
    int64_t renew_ms; /* keys with an end: when to renew */
    int64_t file_check_ms, tried_ms;
};

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static void keys_release(struct tni_s3_keys *keys)
{
    if (keys->secret)
        explicit_bzero(keys->secret, strlen(keys->secret));
    tn_free(keys->access);
    tn_free(keys->secret);
    tn_free(keys->token);
    *keys = (struct tni_s3_keys){0};
}

const char *tni_s3_profile_name(const struct tn_s3_options *options)
{
    const char *profile = options->profile ? options->profile : env("AWS_PROFILE");
    return profile ? profile : "default";
}

/* ---- shared files ---- */

static bool shared_path(const char *variable, const char *name, char path[PATH_MAX])
{
    const char *home = env("HOME"), *given = env(variable);
    if (!given && !home)
        return false;
    int len = given ? snprintf(path, PATH_MAX, "%s", given)
                    : snprintf(path, PATH_MAX, "%s/.aws/%s", home, name);
    return len < PATH_MAX;
}

static struct tn_str trim(const char *ptr, size_t len)
{
    while (len && strchr(" \t\r\n", ptr[0]))
        ptr++, len--;
    while (len && strchr(" \t\r\n", ptr[len - 1]))
        len--;
    return (struct tn_str){ptr, len};
}

/* Is this line "[profile]" or "[profile NAME]"? */
static bool is_section(struct tn_str line, const char *profile)
{
    struct tn_str inner = trim(line.ptr + 1, line.len - 2);
    if (inner.len > 8 && memcmp(inner.ptr, "profile", 7) == 0 && strchr(" \t", inner.ptr[7]))
        inner = trim(inner.ptr + 7, inner.len - 7);
    return tn_str_eq(inner, tn_str_of(profile));
}

/* Calls `each` for the settings of the profile. False: there is no such file or profile. */
static bool read_profile(const char *path, const char *profile,
                         void (*each)(void *ctx, struct tn_str name, struct tn_str value),
                         void *ctx)
{
    char line[8192];
    bool is_in = false, is_found = false;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        struct tn_str text = trim(line, strlen(line));
        if (text.len == 0 || text.ptr[0] == '#' || text.ptr[0] == ';')
            continue;
        if (text.ptr[0] == '[' && text.ptr[text.len - 1] == ']') {
            is_in = is_section(text, profile);
            is_found = is_found || is_in;
            continue;
        }
        const char *equals = memchr(text.ptr, '=', text.len);
        if (is_in && equals)
            each(ctx, trim(text.ptr, (size_t)(equals - text.ptr)),
                 trim(equals + 1, text.len - (size_t)(equals - text.ptr) - 1));
    }
    if (file)
        fclose(file);
    explicit_bzero(line, sizeof line);
    return is_found;
}

struct wanted_value {
    const char *name;
    char *value;
    size_t size;
    bool is_found;
};

static void on_wanted(void *ctx, struct tn_str name, struct tn_str value)
{
    struct wanted_value *wanted = ctx;
    if (!tn_str_eq(name, tn_str_of(wanted->name)) || value.len >= wanted->size || !value.len)
        return;
    memcpy(wanted->value, value.ptr, value.len);
    wanted->value[value.len] = 0;
    wanted->is_found = true;
}

bool tni_s3_profile_value(const char *profile, const char *name, char *ret_value, size_t size)
{
    static const char *const files[][2] = {{"AWS_CONFIG_FILE", "config"},
                                           {"AWS_SHARED_CREDENTIALS_FILE", "credentials"}};
    struct wanted_value wanted = {name, ret_value, size, false};
    char path[PATH_MAX];
    for (size_t i = 0; i < 2 && !wanted.is_found; i++)
        if (shared_path(files[i][0], files[i][1], path))
            read_profile(path, profile, on_wanted, &wanted);
    return wanted.is_found;
}

static void set_text(char **to, struct tn_str value)
{
    tn_free(*to);
    *to = value.len ? tn_strndup(value.ptr, value.len) : NULL;
}

static void on_key(void *ctx, struct tn_str name, struct tn_str value)
{
    struct tni_s3_keys *keys = ctx;
    if (tn_str_eq(name, TN_STR("aws_access_key_id")))
        set_text(&keys->access, value);
    else if (tn_str_eq(name, TN_STR("aws_secret_access_key")))
        set_text(&keys->secret, value);
    else if (tn_str_eq(name, TN_STR("aws_session_token")))
        set_text(&keys->token, value);
}

static enum tn_status from_file(struct tni_s3_credentials *c, struct tni_s3_keys *keys,
                                struct tn_err *err)
{
    static const char *const files[][2] = {{"AWS_SHARED_CREDENTIALS_FILE", "credentials"},
                                           {"AWS_CONFIG_FILE", "config"}};
    char path[PATH_MAX];
    struct stat st;
    bool is_profile = false;
    for (size_t i = 0; i < 2; i++) {
        if (!shared_path(files[i][0], files[i][1], path))
            continue;
        is_profile = read_profile(path, c->profile, on_key, keys) || is_profile;
        if (!keys->access || !keys->secret)
            continue;
        snprintf(c->file, sizeof c->file, "%s", path);
        snprintf(c->source, sizeof c->source, "file %.200s [%.80s]", path, c->profile);
        if (stat(path, &st) == 0)
            c->file_time = st.st_mtim;
        return TN_OK;
    }
    keys_release(keys);
    return tn_err_set(err, TN_E_DENIED,
                      is_profile ? "profile '%s' of the credentials file has no access key"
                                 : "the credentials file has no profile '%s'",
                      c->profile);
}

/* ---- environment ---- */

static enum tn_status from_environment(struct tni_s3_credentials *c, struct tni_s3_keys *keys,
                                       struct tn_err *err)
{
    const char *access = env("AWS_ACCESS_KEY_ID"), *secret = env("AWS_SECRET_ACCESS_KEY");
    const char *token = env("AWS_SESSION_TOKEN");
    if (!access || !secret)
        return tn_err_set(err, TN_E_DENIED,
                          "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set");
    keys->access = tn_strdup(access);
    keys->secret = tn_strdup(secret);
    keys->token = token ? tn_strdup(token) : NULL;
    snprintf(c->source, sizeof c->source, "environment");
    return TN_OK;
}

/* ---- services ---- */

static enum tn_status call(const char *server, const char *method, const char *path,
                           const char *header, const char *value, struct tn_buf *ret_body,
                           struct tn_err *err)
{
    struct tn_http_client *client = NULL;
    struct tn_http_response response;
    struct tn_http_header_pair pair = {header, value};
    TN_TRY(tn_http_client_new(server, TNI_CREDENTIALS_MS, &client, err));
    enum tn_status st =
        tn_http_call(client, method, path, &pair, header ? 1 : 0, TN_STR(""), &response, err);
    if (st == TN_OK && response.status != 200)
        st = tn_err_set(err, TN_E_DENIED, "'%s' answered HTTP %d", server, response.status);
    if (st == TN_OK)
        tn_buf_add_str(ret_body, response.body);
    tn_http_client_free(client);
    return st == TN_OK && tn_buf_over(ret_body)
               ? tn_err_set(err, TN_E_LIMIT, "'%s' answered too much", server)
               : st;
}

/* A member of a flat JSON object whose values are plain strings. */
static char *json_member(struct tn_str json, const char *name)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", name);
    const char *end = json.ptr + json.len, *p = memmem(json.ptr, json.len, quoted, strlen(quoted));
    if (!p)
        return NULL;
    p += strlen(quoted);
    while (p < end && strchr(" \t\r\n:", *p))
        p++;
    const char *stop = p < end && *p == '"' ? memchr(p + 1, '"', (size_t)(end - p - 1)) : NULL;
    bool is_empty = stop == p + 1; /* no token */
    char *text = stop && !is_empty ? tn_strndup(p + 1, (size_t)(stop - p - 1)) : NULL, *to = text;
    for (const char *from = text; from && *from; from++)
        if (*from != '\\') /* only \/ occurs */
            *to++ = *from;
    if (to)
        *to = 0;
    return text;
}

static int64_t parse_end(const char *text)
{
    int64_t us;
    return text && tn_timestamp_parse(tn_str_of(text), &us) ? us / 1000 : 0;
}

static enum tn_status from_json(struct tn_str json, struct tni_s3_keys *keys, struct tn_err *err)
{
    char *end = json_member(json, "Expiration");
    keys->access = json_member(json, "AccessKeyId");
    keys->secret = json_member(json, "SecretAccessKey");
    keys->token = json_member(json, "Token");
    keys->expires_ms = parse_end(end);
    tn_free(end);
    if (keys->access && keys->secret)
        return TN_OK;
    keys_release(keys);
    return tn_err_set(err, TN_E_DENIED, "the credentials service gave no keys");
}

static bool read_token(const char *path, struct tn_buf *buf)
{
    char chunk[4096];
    size_t n;
    FILE *file = fopen(path, "re");
    while (file && (n = fread(chunk, 1, sizeof chunk, file)) > 0)
        tn_buf_add(buf, chunk, n);
    if (file)
        fclose(file);
    while (buf->len && strchr(" \t\r\n", buf->ptr[buf->len - 1]))
        buf->len--;
    return buf->len > 0 && !tn_buf_over(buf);
}

/* Loopback, the containers' own addresses, or TLS: elsewhere the token would be open to see. */
static bool is_container_url(const char *url)
{
    static const char *const known[] = {
        "https://",     "http://127.",          "http://localhost",
        "http://[::1]", "http://169.254.170.2", "http://169.254.170.23"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(url, known[i], strlen(known[i])) == 0)
            return true;
    return false;
}

static enum tn_status from_container(struct tni_s3_credentials *c, struct tni_s3_keys *keys,
                                     struct tn_err *err)
{
    const char *relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *token = env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    const char *token_file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    struct tn_buf body, token_text;
    enum tn_status st;
    if (!relative && (!full || !is_container_url(full)))
        return tn_err_set(err, TN_E_DENIED,
                          "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI (or _FULL_URI, on this machine "
                          "or with https) is not set");
    tn_buf_init(&body, DOCUMENT_MAX);
    tn_buf_init(&token_text, DOCUMENT_MAX);
    if (token_file && read_token(token_file, &token_text))
        token = tn_buf_cstr(&token_text);
    st = call(relative ? CONTAINER_SERVER : full, "GET", relative ? relative : "",
              token ? "Authorization" : NULL, token, &body, err);
    if (st == TN_OK)
        st = from_json(tn_buf_str(&body), keys, err);
    if (st == TN_OK)
        snprintf(c->source, sizeof c->source, "container");
    tn_buf_release(&token_text);
    tn_buf_release(&body);
    return st;
}

static enum tn_status from_machine(struct tni_s3_credentials *c, struct tni_s3_keys *keys,
                                   struct tn_err *err)
{
    const char *given = env("AWS_EC2_METADATA_SERVICE_ENDPOINT"), *off;
    const char *server = given ? given : MACHINE_SERVER;
    static const char base[] = "/latest/meta-data/iam/security-credentials/";
    struct tn_buf token, role, body;
    enum tn_status st;
    if ((off = env("AWS_EC2_METADATA_DISABLED")) && strcasecmp(off, "true") == 0)
        return tn_err_set(err, TN_E_DENIED, "AWS_EC2_METADATA_DISABLED is set");
    tn_buf_init(&token, DOCUMENT_MAX);
    tn_buf_init(&role, 1024);
    tn_buf_init(&body, DOCUMENT_MAX);
    tn_buf_add_text(&role, base);
    TN_GOTO(call(server, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds",
                 "21600", &token, err));
    TN_GOTO(call(server, "GET", base, "X-aws-ec2-metadata-token", tn_buf_cstr(&token), &role, err));
    role.len = strcspn(tn_buf_cstr(&role), "\r\n");
    TN_GOTO(call(server, "GET", tn_buf_cstr(&role), "X-aws-ec2-metadata-token", tn_buf_cstr(&token),
                 &body, err));
    TN_GOTO(from_json(tn_buf_str(&body), keys, err));
    snprintf(c->source, sizeof c->source, "machine");
fail:
    tn_buf_release(&token);
    tn_buf_release(&role);
    tn_buf_release(&body);
    return st;
}

static enum tn_status parse_role(struct tn_str document, struct tni_s3_keys *keys,
                                 struct tn_err *err)
{
    struct tni_xml xml;
    enum tni_xml_event event;
    tni_xml_init(&xml, document);
    while ((event = tni_xml_next(&xml)) == TNI_XML_OPEN || event == TNI_XML_CLOSE) {
        if (event != TNI_XML_CLOSE || !tni_xml_within(&xml, "Credentials"))
            continue;
        struct tn_str text = tn_buf_str(&xml.text);
        if (tni_xml_is(&xml, "AccessKeyId"))
            set_text(&keys->access, text);
        else if (tni_xml_is(&xml, "SecretAccessKey"))
            set_text(&keys->secret, text);
        else if (tni_xml_is(&xml, "SessionToken"))
            set_text(&keys->token, text);
        else if (tni_xml_is(&xml, "Expiration"))
            keys->expires_ms = parse_end(tn_buf_cstr(&xml.text));
    }
    tni_xml_release(&xml);
    if (event == TNI_XML_END && keys->access && keys->secret && keys->token)
        return TN_OK;
    keys_release(keys);
    return tn_err_set(err, TN_E_DENIED, "the token service gave no keys");
}

/* Both variables are set. The token file is read each time: it is replaced while we run. */
static enum tn_status from_web_identity(struct tni_s3_credentials *c, struct tni_s3_keys *keys,
                                        struct tn_err *err)
{
    const char *file = env("AWS_WEB_IDENTITY_TOKEN_FILE"), *role = env("AWS_ROLE_ARN");
    const char *session = env("AWS_ROLE_SESSION_NAME"), *given = env("AWS_ENDPOINT_URL_STS");
    char server[300];
    struct tn_buf token, query, body;
    enum tn_status st;
    if (!file || !role)
        return tn_err_set(err, TN_E_DENIED,
                          "AWS_WEB_IDENTITY_TOKEN_FILE or AWS_ROLE_ARN is not set");
    tn_buf_init(&token, DOCUMENT_MAX);
    tn_buf_init(&query, 4 * DOCUMENT_MAX);
    tn_buf_init(&body, DOCUMENT_MAX);
    snprintf(server, sizeof server, "https://sts.%s.amazonaws.com", c->region);
    if (!read_token(file, &token)) {
        st = tn_err_set(err, TN_E_DENIED, "the web identity token '%.200s' cannot be read", file);
        goto fail;
    }
    tn_buf_add_text(&query, "/?Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=");
    tni_uri_encode(tn_str_of(role), false, &query);
    tn_buf_add_text(&query, "&RoleSessionName=");
    tni_uri_encode(tn_str_of(session ? session : "tarn"), false, &query);
    tn_buf_add_text(&query, "&WebIdentityToken=");
    tni_uri_encode(tn_buf_str(&token), false, &query);
    TN_GOTO(call(given ? given : server, "POST", tn_buf_cstr(&query), NULL, NULL, &body, err));
    TN_GOTO(parse_role(tn_buf_str(&body), keys, err));
    snprintf(c->source, sizeof c->source, "web identity of role %.200s", role);
fail:
    tn_buf_release(&token);
    tn_buf_release(&query);
    tn_buf_release(&body);
    return st;
}

/* ---- the chain ---- */

static enum tn_status read_keys(struct tni_s3_credentials *c, struct tni_s3_keys *keys,
                                struct tn_err *err)
{
    if (strcmp(c->kind, "anonymous") == 0)
        return TN_OK;
    if (strcmp(c->kind, "environment") == 0)
        return from_environment(c, keys, err);
    if (strcmp(c->kind, "file") == 0)
        return from_file(c, keys, err);
    if (strcmp(c->kind, "web_identity") == 0)
        return from_web_identity(c, keys, err);
    if (strcmp(c->kind, "container") == 0)
        return from_container(c, keys, err);
    if (strcmp(c->kind, "machine") == 0)
        return from_machine(c, keys, err);
    if (from_environment(c, keys, NULL) == TN_OK)
        return TN_OK;
    if (env("AWS_WEB_IDENTITY_TOKEN_FILE") && env("AWS_ROLE_ARN"))
        return from_web_identity(c, keys, err);
    if (from_file(c, keys, NULL) == TN_OK)
        return TN_OK;
    enum tn_status st = tn_err_set(err, TN_E_DENIED,
                                   "no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
                                   "are not set and the credentials file has no profile '%s'",
                                   c->profile);
    tn_err_hint(err, "set them, name a profile (s3.profile), or s3.credentials=machine, container "
                     "or anonymous");
    return st;
}

static void take_keys(struct tni_s3_credentials *c, struct tni_s3_keys *keys)
{
    int64_t before = RENEW_BEFORE_MS + (int64_t)(tn_random_unit() * RENEW_JITTER_MS);
    keys->generation = c->keys.generation + 1;
    keys_release(&c->keys);
    c->keys = *keys;
    c->renew_ms = keys->expires_ms ? keys->expires_ms - before : INT64_MAX;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Reads the keys anew; the old ones stay when that fails. True when they differ now. */
static bool reload(struct tni_s3_credentials *c)
{
    struct tni_s3_keys keys = {0};
    struct tn_err err = TN_ERR_INIT;
    c->tried_ms = tn_wall_ms(c->clock);
    if (tn_failed(read_keys(c, &keys, &err))) {
        tn_logf(TN_LOG_WARN, "s3", "credentials could not be renewed, the old ones stay: %s",
                err.message);
        c->renew_ms = c->tried_ms + RENEW_PAUSE_MS;
        return false;
    }
    bool is_same = same_text(keys.access, c->keys.access) &&
                   same_text(keys.secret, c->keys.secret) && same_text(keys.token, c->keys.token);
    take_keys(c, &keys);
    if (is_same && c->renew_ms <= c->tried_ms)
        c->renew_ms = c->tried_ms + RENEW_PAUSE_MS;
    return !is_same;
}

enum tn_status tni_s3_credentials_new(const struct tn_s3_options *options, const char *region,
                                      struct tn_clock *clock,
                                      struct tni_s3_credentials **ret_credentials,
                                      struct tn_err *err)
{
    struct tni_s3_credentials *c = tn_alloc(sizeof *c);
    struct tni_s3_keys keys = {0};
    c->kind = options->credentials;
    c->profile = tn_strdup(tni_s3_profile_name(options));
    c->region = tn_strdup(region);
    c->clock = clock;
    snprintf(c->source, sizeof c->source, "nobody");
    enum tn_status st = read_keys(c, &keys, err);
    if (tn_failed(st)) {
        tni_s3_credentials_free(c);
        return st;
    }
    take_keys(c, &keys);
    *ret_credentials = c;
    return TN_OK;
}

void tni_s3_credentials_free(struct tni_s3_credentials *c)
{
    if (!c)
        return;
    keys_release(&c->keys);
    tn_free(c->profile);
    tn_free(c->region);
    tn_free(c);
}

static bool file_changed(struct tni_s3_credentials *c, int64_t now_ms)
{
    struct stat st;
    if (!c->file[0] || now_ms < c->file_check_ms)
        return false;
    c->file_check_ms = now_ms + FILE_CHECK_MS;
    return stat(c->file, &st) == 0 &&
           (st.st_mtim.tv_sec != c->file_time.tv_sec || st.st_mtim.tv_nsec != c->file_time.tv_nsec);
}

const struct tni_s3_keys *tni_s3_credentials_keys(struct tni_s3_credentials *c)
{
    int64_t now_ms = tn_wall_ms(c->clock);
    if (now_ms >= c->renew_ms || file_changed(c, now_ms))
        reload(c);
    return &c->keys;
}

bool tni_s3_credentials_renew(struct tni_s3_credentials *c)
{
    return tn_wall_ms(c->clock) >= c->tried_ms + FILE_CHECK_MS && reload(c);
}

const char *tni_s3_credentials_source(const struct tni_s3_credentials *c)
{
    return c->source;
}
