/* HTTP client over libcurl: the producer, the shell with --url, webhooks. One easy handle with
 * keep-alive. Timeouts are always set; redirects are not followed. Ownership: a client has one
 * owner thread. Response slices are valid until the next call.
 */
#ifndef TN_CONNECTORS_HTTP_CLIENT_H
#define TN_CONNECTORS_HTTP_CLIENT_H

#include "stream/base/buf.h"

struct tn_http_client;

struct tn_http_header_pair {
    const char *name, *value;
};

struct tn_http_response {
    int status;
    struct tn_str body;
    struct tn_str content_type;
    int64_t retry_after_ms; /* −1 = no Retry-After */
};

/* `base_url` "http://127.0.0.1:8090"; a path given to a call is appended. */
enum tn_status tn_http_client_new(const char *base_url, int64_t timeout_ms,
                                  struct tn_http_client **ret_client, struct tn_err *err);
void tn_http_client_free(struct tn_http_client *client); /* NULL is a no-op */
/* A call ends with TN_E_CANCELLED soon after this says so (asked at signals and once a second). */
void tn_http_client_on_cancel(struct tn_http_client *client, bool (*is_cancelled)(void));
/* TN_E_IO (retriable) when no answer came; any HTTP status is TN_OK. */
enum tn_status tn_http_call(struct tn_http_client *client, const char *method, const char *path,
                            const struct tn_http_header_pair *headers, size_t headers_count,
                            struct tn_str body, struct tn_http_response *ret_response,
                            struct tn_err *err);
/* Streams the answer's body to `sink` as it comes (stops when it returns false); ret_response->body
 * is set only for a status ≥ 400. */
enum tn_status tn_http_call_stream(struct tn_http_client *client, const char *method,
                                   const char *path, const struct tn_http_header_pair *headers,
                                   size_t headers_count, struct tn_str body,
                                   bool (*sink)(void *ctx, struct tn_str bytes), void *ctx,
                                   struct tn_http_response *ret_response, struct tn_err *err);
/* Fills err from the JSON error document (or the bare text) of a status ≥ 400. */
enum tn_status tn_http_response_error(const struct tn_http_response *response, struct tn_err *err);

#endif
