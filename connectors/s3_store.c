/* Opening and closing of S3 stores: where the server is, how the bucket is addressed, which region
 * is signed for, whose keys are used. See s3_loop.c for the work.
 * @thread any; open may wait for a credentials service
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "connectors/s3_int.h"
#include "stream/base/mem.h"

#define WINDOW_START 8.0

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static void choose_region(struct tni_s3_store *store)
{
    const char *region = store->options.region;
    char *to = store->region;
    region = region ? region : env("AWS_REGION");
    region = region ? region : env("AWS_DEFAULT_REGION");
    if (!region && tni_s3_profile_value(tni_s3_profile_name(&store->options), "region", to,
                                        sizeof store->region))
        return;
    snprintf(to, sizeof store->region, "%s", region ? region : "us-east-1");
}

static enum tn_status refuse_endpoint(const char *endpoint, struct tn_err *err)
{
    enum tn_status st =
        tn_err_set(err, TN_E_INVALID, "s3.endpoint '%.200s' is not the URL of a server", endpoint);
    tn_err_hint(err, "write http://HOST:PORT or https://HOST; keys do not belong into it");
    return st;
}

/* "https://host:port/path" → host, base_path. */
static enum tn_status parse_endpoint(struct tni_s3_store *store, const char *endpoint,
                                     struct tn_err *err)
{
    bool is_http = strncasecmp(endpoint, "http://", 7) == 0;
    store->is_https = strncasecmp(endpoint, "https://", 8) == 0;
    if (!is_http && !store->is_https)
        return refuse_endpoint(endpoint, err);
    const char *host = endpoint + (is_http ? 7 : 8), *path;
    size_t len = strcspn(host, "/?#");
    bool is_ok = len > 0 && len < TNI_S3_HOST_MAX && host[len] != '?' && host[len] != '#';
    for (size_t i = 0; i < len && is_ok; i++)
        is_ok = isalnum((unsigned char)host[i]) || strchr(".-_:[]", host[i]);
    path = host + len;
    size_t path_len = strlen(path);
    while (path_len && path[path_len - 1] == '/')
        path_len--;
    if (!is_ok || path_len > 256)
        return refuse_endpoint(is_ok ? endpoint : "***", err);
    memcpy(store->host, host, len);
    /* the default port is no part of the Host header that is signed */
    const char *port = is_http ? ":80" : ":443";
    size_t port_len = strlen(port);
    if (len > port_len && strcmp(store->host + len - port_len, port) == 0)
        store->host[len - port_len] = 0;
    store->base_path = tn_strndup(path, path_len);
    return TN_OK;
}

static enum tn_status choose_address(struct tni_s3_store *store, struct tn_err *err)
{
    const char *endpoint = store->options.endpoint, *style = store->options.path_style;
    endpoint = endpoint ? endpoint : env("AWS_ENDPOINT_URL_S3");
    endpoint = endpoint ? endpoint : env("AWS_ENDPOINT_URL");
    store->host = tn_alloc(TNI_S3_HOST_MAX);
    if (endpoint) {
        TN_TRY(parse_endpoint(store, endpoint, err));
    } else {
        snprintf(store->host, TNI_S3_HOST_MAX, "s3.%s.amazonaws.com", store->region);
        store->base_path = tn_strdup("");
        store->is_https = true;
    }
    if (!store->options.ca_file)
        store->options.ca_file = env("AWS_CA_BUNDLE");
    store->is_amazon = strstr(store->host, ".amazonaws.com") != NULL;
    /* certificates of *.host do not cover a bucket with dots */
    bool is_dotted = strchr(store->bucket, '.') != NULL;
    store->is_path_style =
        strcmp(style, "auto") == 0 ? !store->is_amazon || is_dotted : strcmp(style, "true") == 0;
    store->is_payload_hashed = strcmp(store->options.payload_hash, "auto") == 0
                                   ? !store->is_https
                                   : strcmp(store->options.payload_hash, "true") == 0;
    return TN_OK;
}

static void store_free(struct tni_s3_store *store)
{
    tni_s3_credentials_free(store->credentials);
    tn_free(store->bucket);
    tn_free(store->prefix);
    tn_free(store->url);
    tn_free(store->host);
    tn_free(store->base_path);
    tn_free(store);
}

static void s3_submit(struct tn_object_store *base, struct tn_object_request *request)
{
    tni_s3_submit((struct tni_s3_store *)base, request);
}

static void s3_cancel(struct tn_object_store *base, struct tn_object_request *request)
{
    tni_s3_cancel((struct tni_s3_store *)base, request);
}

static void s3_close(struct tn_object_store *base)
{
    struct tni_s3_store *store = (struct tni_s3_store *)base;
    tni_s3_detach(store);
    store_free(store);
}

static const struct tn_object_store_type s3_type = {
    .name = "s3", .submit = s3_submit, .cancel = s3_cancel, .close = s3_close};

static char *join(const char *a, const char *b, const char *c, const char *d)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 8192);
    tn_buf_add_text(&buf, a);
    tn_buf_add_text(&buf, b);
    tn_buf_add_text(&buf, c);
    tn_buf_add_text(&buf, d);
    char *text = tn_strdup(tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

enum tn_status tni_s3_store_open(struct tni_s3 *s3, const char *bucket, const char *prefix,
                                 const struct tn_s3_options *options,
                                 struct tn_object_store **ret_store, struct tn_err *err)
{
    struct tni_s3_store *store = tn_alloc(sizeof *store);
    enum tn_status st;
    const char *slash = prefix[0] ? "/" : "";
    store->base.type = &s3_type;
    store->s3 = s3;
    store->options = *options;
    store->bucket = tn_strdup(bucket);
    store->prefix = join(prefix, slash, "", "");
    store->url = join("s3://", bucket, slash, prefix);
    store->base.url = store->url;
    store->base.parallel = s3->connections;
    store->base.part_bytes = (size_t)options->part_bytes;
    store->window = s3->connections < WINDOW_START ? s3->connections : WINDOW_START;
    store->ready.last = &store->ready.first;
    choose_region(store);
    TN_GOTO(choose_address(store, err));
    TN_GOTO(tni_s3_credentials_new(options, store->region, s3->clock, &store->credentials, err));
    tni_s3_attach(store);
    *ret_store = &store->base;
    return TN_OK;
fail:
    tn_err_prefix(err, "%s: ", store->url);
    store_free(store);
    return st;
}
