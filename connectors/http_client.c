/* HTTP client: one libcurl easy handle, kept alive between calls. Why libcurl: chunked bodies,
 * proxies, TLS and timeouts are right in it, and the shell, the producer and webhooks need no more
 * than requests in turn.
 *
 * Bounds: an answer kept in memory is at most RESPONSE_BYTES_MAX; header and error text are short.
 */
#include "connectors/http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>

#include "stream/base/mem.h"

#define RESPONSE_BYTES_MAX ((size_t)256 << 20)
#define CONNECT_MS         5000L

struct tn_http_client {
    CURL *curl;
    char *base_url;
    struct tn_buf url, body, type;
    int64_t retry_after_ms;
    bool (*sink)(void *ctx, struct tn_str bytes);
    void *sink_ctx;
    bool is_sink_over;
    bool (*is_cancelled)(void);
    char error[CURL_ERROR_SIZE];
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *cls)
{
    struct tn_http_client *client = cls;
    size_t len = size * count;
    long status = 0;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (client->sink && status < 400) {
        if (client->sink(client->sink_ctx, (struct tn_str){bytes, len}))
            return len;
        client->is_sink_over = true;
        return 0;
    }
    tn_buf_add(&client->body, bytes, len);
    return tn_buf_over(&client->body) ? 0 : len;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *cls)
{
    struct tn_http_client *client = cls;
    struct tn_str line = {bytes, size * count};
    while (line.len && strchr("\r\n ", line.ptr[line.len - 1]))
        line.len--;
    const char *colon = memchr(line.ptr, ':', line.len);
    if (colon) {
        struct tn_str name = {line.ptr, (size_t)(colon - line.ptr)};
        struct tn_str value = {colon + 1, line.len - name.len - 1};
        while (value.len && *value.ptr == ' ') {
            value.ptr++;
            value.len--;
        }
        if (tn_str_eq_nocase(name, TN_STR("Content-Type"))) {
            tn_buf_reset(&client->type);
            tn_buf_add_str(&client->type, value);
        } else if (tn_str_eq_nocase(name, TN_STR("Retry-After")) && value.len < 8) {
            char digits[8] = {0};
            memcpy(digits, value.ptr, value.len);
            client->retry_after_ms = strtol(digits, NULL, 10) * 1000;
        }
    }
    return size * count;
}

enum tn_status tn_http_client_new(const char *base_url, int64_t timeout_ms,
                                  struct tn_http_client **ret_client, struct tn_err *err)
{
    pthread_once(&curl_once, curl_start);
    size_t len = strlen(base_url);
    if (strncmp(base_url, "http://", 7) != 0 && strncmp(base_url, "https://", 8) != 0) {
        enum tn_status st = tn_err_set(
            err, TN_E_INVALID, "the URL '%s' must begin with http:// or https://", base_url);
        tn_err_hint(err, "for example http://127.0.0.1:8090");
        return st;
    }
    struct tn_http_client *client = tn_alloc(sizeof *client);
    tn_buf_init(&client->url, 64 << 10);
    tn_buf_init(&client->body, RESPONSE_BYTES_MAX);
    tn_buf_init(&client->type, 1024);
    while (len && base_url[len - 1] == '/')
        len--;
    client->base_url = tn_strndup(base_url, len);
    client->curl = curl_easy_init();
    if (!client->curl) {
        tn_http_client_free(client);
        return tn_err_set(err, TN_E_NOMEM, "cannot start the HTTP client");
    }
    CURL *curl = client->curl;
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->error);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, client);
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1");
    *ret_client = client;
    return TN_OK;
}

static int poll_cancel(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct tn_http_client *client = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return client->is_cancelled() ? 1 : 0;
}

void tn_http_client_on_cancel(struct tn_http_client *client, bool (*is_cancelled)(void))
{
    client->is_cancelled = is_cancelled;
    curl_easy_setopt(client->curl, CURLOPT_XFERINFOFUNCTION, poll_cancel);
    curl_easy_setopt(client->curl, CURLOPT_XFERINFODATA, client);
    curl_easy_setopt(client->curl, CURLOPT_NOPROGRESS, is_cancelled ? 0L : 1L);
}

void tn_http_client_free(struct tn_http_client *client)
{
    if (!client)
        return;
    if (client->curl)
        curl_easy_cleanup(client->curl);
    tn_free(client->base_url);
    tn_buf_release(&client->url);
    tn_buf_release(&client->body);
    tn_buf_release(&client->type);
    tn_free(client);
}

static struct curl_slist *headers_list(struct tn_http_client *client,
                                       const struct tn_http_header_pair *headers, size_t count)
{
    /* Without this libcurl waits a second for "100 Continue" with larger bodies. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    struct tn_buf line;
    (void)client;
    tn_buf_init(&line, 64 << 10);
    for (size_t i = 0; i < count && list; i++) {
        tn_buf_reset(&line);
        tn_buf_printf(&line, "%s: %s", headers[i].name, headers[i].value);
        list = curl_slist_append(list, tn_buf_cstr(&line));
    }
    tn_buf_release(&line);
    return list;
}

static void call_method(CURL *curl, const char *method, struct tn_str body)
{
    bool is_get = strcmp(method, "GET") == 0;
    curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    if (!is_get) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.ptr ? body.ptr : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, is_get ? NULL : method);
}

static enum tn_status call(struct tn_http_client *client, const char *method, const char *path,
                           const struct tn_http_header_pair *headers, size_t headers_count,
                           struct tn_str body, struct tn_http_response *ret_response,
                           struct tn_err *err)
{
    CURL *curl = client->curl;
    tn_buf_reset(&client->url);
    tn_buf_reset(&client->body);
    tn_buf_reset(&client->type);
    tn_buf_printf(&client->url, "%s%s", client->base_url, path);
    client->retry_after_ms = -1;
    client->is_sink_over = false;
    client->error[0] = 0;
    struct curl_slist *list = headers_list(client, headers, headers_count);
    curl_easy_setopt(curl, CURLOPT_URL, tn_buf_cstr(&client->url));
    call_method(curl, method, body);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(list);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return tn_err_set(err, TN_E_CANCELLED, "cancelled");
    if (code != CURLE_OK && !(client->is_sink_over && status)) {
        enum tn_status st = tn_err_set(err, TN_E_IO, "no answer from %s: %s", client->base_url,
                                       client->error[0] ? client->error : curl_easy_strerror(code));
        if (err)
            err->retriable = true;
        if (code == CURLE_COULDNT_CONNECT)
            tn_err_hint(err, "is tarn running there? start it with 'tarn run FILE'");
        return st;
    }
    ret_response->status = (int)status;
    ret_response->body = tn_buf_str(&client->body);
    ret_response->content_type = tn_buf_str(&client->type);
    ret_response->retry_after_ms = client->retry_after_ms;
    return TN_OK;
}

enum tn_status tn_http_call(struct tn_http_client *client, const char *method, const char *path,
                            const struct tn_http_header_pair *headers, size_t headers_count,
                            struct tn_str body, struct tn_http_response *ret_response,
                            struct tn_err *err)
{
    client->sink = NULL;
    return call(client, method, path, headers, headers_count, body, ret_response, err);
}

enum tn_status tn_http_call_stream(struct tn_http_client *client, const char *method,
                                   const char *path, const struct tn_http_header_pair *headers,
                                   size_t headers_count, struct tn_str body,
                                   bool (*sink)(void *ctx, struct tn_str bytes), void *ctx,
                                   struct tn_http_response *ret_response, struct tn_err *err)
{
    client->sink = sink;
    client->sink_ctx = ctx;
    enum tn_status st = call(client, method, path, headers, headers_count, body, ret_response, err);
    client->sink = NULL;
    return st;
}

/* Text of the first string member `name` of the error document, unescaped as far as \" \\ \n go. */
static bool member_text(struct tn_str doc, const char *name, char *to, size_t to_size)
{
    char pattern[32];
    size_t len = (size_t)snprintf(pattern, sizeof pattern, "\"%s\":\"", name);
    const char *at = memmem(doc.ptr, doc.len, pattern, len);
    if (!at)
        return false;
    const char *end = doc.ptr + doc.len;
    size_t n = 0;
    for (at += len; at < end && *at != '"' && n + 1 < to_size; at++) {
        if (*at == '\\' && at + 1 < end)
            at++;
        to[n++] = *at;
    }
    to[n] = 0;
    return true;
}

static int member_int(struct tn_str doc, const char *name)
{
    char pattern[32], digits[12] = {0};
    size_t len = (size_t)snprintf(pattern, sizeof pattern, "\"%s\":", name);
    const char *at = memmem(doc.ptr, doc.len, pattern, len);
    if (!at)
        return 0;
    at += len;
    size_t left = (size_t)(doc.ptr + doc.len - at);
    memcpy(digits, at, left < 11 ? left : 11);
    return (int)strtol(digits, NULL, 10);
}

enum tn_status tn_http_response_error(const struct tn_http_response *response, struct tn_err *err)
{
    char message[TN_ERR_MESSAGE_MAX], hint[TN_ERR_HINT_MAX], code[32];
    enum tn_status st = response->status == 503 ? TN_E_BUSY : TN_E_INVALID;
    struct tn_str body = response->body;
    if (!member_text(body, "message", message, sizeof message)) {
        (void)tn_err_set(err, st, "HTTP status %d: %.*s", response->status,
                         (int)(body.len < 200 ? body.len : 200), body.ptr ? body.ptr : "");
        return st;
    }
    if (member_text(body, "code", code, sizeof code))
        for (int i = 0; i < TN_STATUS_COUNT; i++)
            if (strcmp(tn_status_name((enum tn_status)i), code) == 0)
                st = (enum tn_status)i;
    if (!tn_failed(st))
        st = TN_E_INVALID;
    (void)tn_err_at(err, st, NULL, member_int(body, "line"), member_int(body, "column"), "%s",
                    message);
    if (member_text(body, "hint", hint, sizeof hint))
        tn_err_hint(err, "%s", hint);
    if (err)
        err->retriable = response->status == 503;
    return st;
}
