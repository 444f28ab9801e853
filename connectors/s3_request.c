/* What is sent for a request: method, path, query, headers, body, signed and put into a libcurl
 * handle. The body is the requester's memory, never copied.
 * @thread the adapter's
 */
#include "connectors/s3_int.h"

#include <stdio.h>

#define HEADERS_MAX 12

/* A request before it is signed. */
struct draft {
    const char *method;
    char path[2 * TN_OBJECT_KEY_MAX + 512];
    struct tni_pair query[8];
    size_t query_count;
    struct tni_pair headers[HEADERS_MAX]; /* signed */
    size_t headers_count;
    char range[64], part[16], date[TNI_SIGN_DATE];
    char condition[TN_OBJECT_ETAG_MAX + 16];
    char list_prefix[2 * TN_OBJECT_KEY_MAX + 2], start_after[2 * TN_OBJECT_KEY_MAX + 2];
    char host[TNI_S3_HOST_MAX + 80]; /* bucket, dot, host */
    struct tn_str body;
    bool has_body;
};

static void add_query(struct draft *draft, const char *name, const char *value)
{
    TN_ASSERT(draft->query_count < sizeof draft->query / sizeof *draft->query);
    draft->query[draft->query_count++] = (struct tni_pair){tn_str_of(name), tn_str_of(value)};
}

static void add_header(struct draft *draft, const char *name, const char *value)
{
    TN_ASSERT(draft->headers_count < HEADERS_MAX);
    draft->headers[draft->headers_count++] = (struct tni_pair){tn_str_of(name), tn_str_of(value)};
}

/* ---- the operations ---- */

/* New objects: encryption, class, the token that tells our write from another's. */
static void add_object_headers(const struct tni_s3_call *call, struct draft *draft, bool has_token)
{
    const struct tn_s3_options *options = &call->store->options;
    if (has_token)
        add_header(draft, TNI_S3_TOKEN_NAME, call->token);
    if (strcmp(options->sse, "none") != 0)
        add_header(draft, "x-amz-server-side-encryption", options->sse);
    if (options->sse_kms_key_id && strcmp(options->sse, "aws:kms") == 0)
        add_header(draft, "x-amz-server-side-encryption-aws-kms-key-id", options->sse_kms_key_id);
    if (options->storage_class)
        add_header(draft, "x-amz-storage-class", options->storage_class);
}

/* "token:id" as given by upload start; the id alone. */
static const char *upload_id(const struct tn_object_request *request)
{
    const char *colon = strchr(request->upload_id, ':');
    return colon ? colon + 1 : request->upload_id;
}

static void draft_body(struct draft *draft, struct tn_str body)
{
    draft->body = body;
    draft->has_body = true;
}

static void draft_get(struct tni_s3_call *call, struct draft *draft)
{
    const struct tn_object_request *request = call->request;
    draft->method = "GET";
    if (request->length > 0)
        snprintf(draft->range, sizeof draft->range, "Range: bytes=%lld-%lld",
                 (long long)request->offset, (long long)(request->offset + request->length - 1));
    else if (request->offset > 0)
        snprintf(draft->range, sizeof draft->range, "Range: bytes=%lld-",
                 (long long)request->offset);
    if (request->if_etag)
        snprintf(draft->condition, sizeof draft->condition, "If-Match: \"%s\"", request->if_etag);
}

static void draft_list(struct tni_s3_call *call, struct draft *draft)
{
    const struct tn_object_request *request = call->request;
    const char *prefix = call->store->prefix;
    bool is_uploads = request->op == TN_OBJECT_UPLOADS;
    draft->method = "GET";
    snprintf(draft->list_prefix, sizeof draft->list_prefix, "%s%s", prefix,
             request->key ? request->key : "");
    add_query(draft, "prefix", draft->list_prefix);
    if (is_uploads) { /* not encoded: RGW encodes the keys without saying so */
        add_query(draft, "uploads", "");
        if (call->continuation.len) {
            add_query(draft, "key-marker", tn_buf_cstr(&call->continuation));
            add_query(draft, "upload-id-marker", tn_buf_cstr(&call->continuation_upload));
        }
        return;
    }
    add_query(draft, "list-type", "2");
    add_query(draft, "encoding-type", "url");
    if (request->is_shallow)
        add_query(draft, "delimiter", "/");
    if (call->continuation.len) {
        add_query(draft, "continuation-token", tn_buf_cstr(&call->continuation));
    } else if (request->start_after && request->start_after[0]) {
        snprintf(draft->start_after, sizeof draft->start_after, "%s%s", prefix,
                 request->start_after);
        add_query(draft, "start-after", draft->start_after);
    }
}

static void make_finish_body(struct tni_s3_call *call)
{
    const struct tn_object_request *request = call->request;
    tn_buf_reset(&call->send);
    tn_buf_add_text(&call->send, "<CompleteMultipartUpload>");
    for (int i = 0; i < request->parts_count; i++)
        tn_buf_printf(&call->send,
                      "<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag></Part>", i + 1,
                      request->etags[i]);
    tn_buf_add_text(&call->send, "</CompleteMultipartUpload>");
    tni_sha256_hex(tn_buf_str(&call->send), call->payload_hash);
}

static void draft_upload(struct tni_s3_call *call, struct draft *draft)
{
    const struct tn_object_request *request = call->request;
    if (request->op == TN_OBJECT_UPLOAD_START) {
        draft->method = "POST";
        add_query(draft, "uploads", "");
        add_object_headers(call, draft, true);
        draft_body(draft, TN_STR(""));
        return;
    }
    add_query(draft, "uploadId", upload_id(request));
    if (request->op == TN_OBJECT_UPLOAD_PART) {
        draft->method = "PUT";
        snprintf(draft->part, sizeof draft->part, "%d", request->part);
        add_query(draft, "partNumber", draft->part);
        draft_body(draft, request->body);
    } else if (request->op == TN_OBJECT_UPLOAD_FINISH) {
        draft->method = "POST";
        make_finish_body(call);
        draft_body(draft, tn_buf_str(&call->send));
    } else {
        draft->method = "DELETE";
    }
}

static void draft_main(struct tni_s3_call *call, struct draft *draft)
{
    const struct tn_object_request *request = call->request;
    switch (request->op) {
    case TN_OBJECT_PUT:
        draft->method = "PUT";
        draft_body(draft, request->body);
        add_object_headers(call, draft, request->is_if_absent);
        if (request->is_if_absent)
            snprintf(draft->condition, sizeof draft->condition, "If-None-Match: *");
        break;
    case TN_OBJECT_GET: draft_get(call, draft); break;
    case TN_OBJECT_HEAD: draft->method = "HEAD"; break;
    case TN_OBJECT_LIST:
    case TN_OBJECT_UPLOADS: draft_list(call, draft); break;
    case TN_OBJECT_REMOVE: draft->method = "DELETE"; break;
    default: draft_upload(call, draft); break;
    }
}

static void draft_phase(struct tni_s3_call *call, struct draft *draft)
{
    switch (call->phase) {
    case TNI_S3_MAIN: draft_main(call, draft); break;
    case TNI_S3_LOOK:
    case TNI_S3_SIZE: draft->method = "HEAD"; break;
    case TNI_S3_PARTS:
        draft->method = "GET";
        add_query(draft, "uploadId", upload_id(call->request));
        add_query(draft, "max-parts", "1");
        break;
    case TNI_S3_WHY:
        draft->method = "GET";
        snprintf(draft->range, sizeof draft->range, "Range: bytes=0-0");
        break;
    }
}

static void draft_address(struct tni_s3_call *call, struct draft *draft)
{
    const struct tni_s3_store *store = call->store;
    enum tn_object_op op = call->request->op;
    bool is_bucket = op == TN_OBJECT_LIST || op == TN_OBJECT_UPLOADS;
    const char *host = call->host[0] ? call->host : store->host;
    if (store->is_path_style || call->host[0])
        snprintf(draft->host, sizeof draft->host, "%s", host);
    else
        snprintf(draft->host, sizeof draft->host, "%.70s.%.319s", store->bucket, host);
    snprintf(draft->path, sizeof draft->path, "%s%s%s/%s%s", store->base_path,
             store->is_path_style ? "/" : "", store->is_path_style ? store->bucket : "",
             is_bucket ? "" : store->prefix, is_bucket ? "" : call->request->key);
}

/* ---- signing and handing over ---- */

static bool add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = line[0] ? curl_slist_append(*list, line) : *list;
    *list = longer ? longer : *list;
    return longer != NULL;
}

/* All headers: the signed ones, the others, and those of libcurl that we do not want. */
static bool make_headers(struct tni_s3_call *call, const struct draft *draft,
                         const char *authorization)
{
    struct curl_slist *list = NULL;
    char line[8192];
    bool is_ok = true;
    for (size_t i = 0; i < draft->headers_count && is_ok; i++) {
        struct tn_str name = draft->headers[i].name, value = draft->headers[i].value;
        int len = snprintf(line, sizeof line, "%.*s: %.*s", TN_STR_FMT(name), TN_STR_FMT(value));
        is_ok = len < (int)sizeof line && add_line(&list, line);
    }
    if (authorization[0])
        is_ok =
            is_ok &&
            snprintf(line, sizeof line, "Authorization: %s", authorization) < (int)sizeof line &&
            add_line(&list, line);
    is_ok = is_ok && (!draft->range[0] || add_line(&list, draft->range));
    is_ok = is_ok && (!draft->condition[0] || add_line(&list, draft->condition));
    is_ok = is_ok && add_line(&list, "Expect:") && add_line(&list, "Accept:");
    curl_slist_free_all(call->headers);
    call->headers = list;
    return is_ok;
}

static enum tn_status sign(struct tni_s3_call *call, struct draft *draft, struct tn_buf *scratch,
                           struct tn_buf *authorization, struct tn_err *err)
{
    struct tni_s3_store *store = call->store;
    const struct tni_s3_keys *keys = tni_s3_credentials_keys(store->credentials);
    const char *payload = draft->has_body && draft->body.len ? call->payload_hash : NULL;
    char empty[TNI_SHA256_HEX];
    struct tni_sign_input input = {.method = draft->method, .path = draft->path};
    call->keys_generation = keys->generation;
    input.query = draft->query;
    input.query_count = draft->query_count;
    input.time_s = (tn_wall_ms(store->s3->clock) + store->clock_offset_ms) / 1000;
    if (!payload) {
        tni_sha256_hex(TN_STR(""), empty);
        payload = empty;
    }
    tni_sign_date(input.time_s, draft->date);
    add_header(draft, "host", draft->host);
    if (draft->has_body)
        add_header(draft, "content-type",
                   call->request->op == TN_OBJECT_UPLOAD_FINISH ? "application/xml"
                                                                : "application/octet-stream");
    if (keys->access) {
        add_header(draft, "x-amz-date", draft->date);
        add_header(draft, "x-amz-content-sha256", payload);
        if (keys->token)
            add_header(draft, "x-amz-security-token", keys->token);
        input.headers = draft->headers;
        input.headers_count = draft->headers_count;
        input.payload = payload;
        input.access_key = keys->access;
        input.secret_key = keys->secret;
        input.region = store->region;
        input.service = "s3";
        TN_TRY(tni_s3_sign(&input, &store->sign_key, scratch, authorization, NULL, err));
    }
    tn_buf_reset(&store->s3->url);
    tn_buf_printf(&store->s3->url, "%s://%s", store->is_https ? "https" : "http", draft->host);
    tni_sign_target(&input, &store->s3->url);
    if (!make_headers(call, draft, tn_buf_cstr(authorization)))
        return tn_err_set(err, TN_E_LIMIT, "the headers of a request are too long");
    return TN_OK;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *cls)
{
    struct tni_s3_call *call = cls;
    size_t len = size * count;
    tni_s3_answer_header(&call->answer, (struct tn_str){bytes, len});
    if (len <= 2 && call->answer.http_status == 200) /* the end of the headers; no range is 206 */
        call->body_skip = call->request->offset;
    return len;
}

/* Bytes of the object itself: the range asked for, also when the server sends all of it. */
static size_t take_object(struct tni_s3_call *call, const char *bytes, size_t len)
{
    const struct tn_object_request *request = call->request;
    size_t skip = (size_t)call->body_skip < len ? (size_t)call->body_skip : len;
    size_t have = request->ret_body->len - call->body_before, take = len - skip;
    call->body_skip -= (int64_t)skip;
    if (request->length >= 0 && take > (size_t)request->length - have)
        take = (size_t)request->length - have;
    if (have == 0 && call->answer.length > 0 && take)
        (void)tn_buf_reserve(request->ret_body, (size_t)call->answer.length > take
                                                    ? (size_t)call->answer.length
                                                    : take);
    tn_buf_add(request->ret_body, bytes + skip, take);
    call->is_over = tn_buf_over(request->ret_body);
    return call->is_over ? 0 : len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *cls)
{
    struct tni_s3_call *call = cls;
    size_t len = size * count;
    int status = call->answer.http_status;
    if (call->phase == TNI_S3_MAIN && call->request->op == TN_OBJECT_GET && status / 100 == 2)
        return take_object(call, bytes, len);
    tn_buf_add(&call->body, bytes, len);
    return tn_buf_over(&call->body) ? 0 : len;
}

static void set_options(struct tni_s3_call *call, const struct draft *draft)
{
    const struct tni_s3_store *store = call->store;
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(easy, CURLOPT_URL, tn_buf_cstr(&store->s3->url));
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)store->options.connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 131072L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    if (store->options.ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, store->options.ca_file);
    if (draft->has_body) { /* from memory: one write for small ones, and libcurl can rewind it */
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)draft->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, draft->body.len ? draft->body.ptr : "");
    }
    if (strcmp(draft->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, draft->method);
}

enum tn_status tni_s3_prepare(struct tni_s3_call *call, struct tn_err *err)
{
    struct draft draft = {.method = "GET"};
    struct tn_buf authorization;
    tn_buf_init(&authorization, 4096);
    tni_s3_answer_reset(&call->answer);
    tn_buf_reset(&call->body);
    call->error[0] = 0;
    call->is_over = false;
    call->body_skip = 0;
    draft_phase(call, &draft);
    draft_address(call, &draft);
    enum tn_status st = sign(call, &draft, &call->store->s3->scratch, &authorization, err);
    if (st == TN_OK)
        set_options(call, &draft);
    tn_buf_release(&authorization);
    return st;
}
