/* Route table: method and path patterns of segments, looked up by a linear walk (there are a few
 * dozen routes and the first literal segment decides almost always). The path is split before it is
 * decoded, so that %2F never makes a new segment. @thread polling threads; the table is immutable
 * after start
 */
#include "connectors/http_int.h"

#include <string.h>

#define SEGMENTS_MAX 16

struct segments {
    struct tn_str items[SEGMENTS_MAX];
    uint32_t count;
};

/* "/a/b" → a, b. False: too many. */
static bool path_split(struct tn_str path, struct segments *ret_segments)
{
    ret_segments->count = 0;
    size_t at = path.len && path.ptr[0] == '/' ? 1 : 0;
    while (true) {
        size_t end = at;
        while (end < path.len && path.ptr[end] != '/')
            end++;
        if (ret_segments->count == SEGMENTS_MAX)
            return false;
        ret_segments->items[ret_segments->count++] = (struct tn_str){path.ptr + at, end - at};
        if (end == path.len)
            return true;
        at = end + 1;
    }
}

/* Compares a decoded path with a pattern; captures {…} segments in order. */
static bool path_matches(const char *pattern, const struct segments *path, struct tn_str *params)
{
    uint32_t at = 0, params_count = 0;
    const char *p = pattern + 1;
    while (true) {
        size_t len = strcspn(p, "/");
        if (at == path->count)
            return false;
        struct tn_str segment = path->items[at++];
        if (len && p[0] == '{') {
            if (segment.len == 0 || params_count == TN_HTTP_PARAMS_MAX)
                return false;
            params[params_count++] = segment;
        } else if (!tn_str_eq(segment, (struct tn_str){p, len})) {
            return false;
        }
        if (p[len] == 0)
            return at == path->count;
        p += len + 1;
    }
}

static bool method_matches(const struct tn_http_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static bool segments_decode(struct tn_http_request *req, struct segments *segments)
{
    for (uint32_t i = 0; i < segments->count; i++)
        if (!tni_http_decode(&req->arena, segments->items[i], &segments->items[i]))
            return false;
    return true;
}

const struct tn_http_route *tni_http_route_find(struct tn_http_server *server,
                                                struct tn_http_request *req, struct tn_str path,
                                                bool *ret_is_path)
{
    struct segments segments;
    const struct tn_http_route *fallback = NULL;
    *ret_is_path = false;
    if (!path_split(path, &segments) || !segments_decode(req, &segments))
        return NULL;
    for (uint32_t i = 0; i < server->routes_count; i++) {
        const struct tn_http_route *route = &server->routes[i];
        if (route->flags & TN_HTTP_FALLBACK) {
            if (!fallback && method_matches(route, req->method))
                fallback = route;
            continue;
        }
        if (!path_matches(route->path, &segments, req->params))
            continue;
        *ret_is_path = true;
        if (method_matches(route, req->method))
            return route;
    }
    return *ret_is_path ? NULL : fallback;
}

void tni_http_allow(const struct tn_http_server *server, struct tn_http_request *req,
                    struct tn_str path, struct tn_buf *buf)
{
    struct segments segments;
    struct tn_str params[TN_HTTP_PARAMS_MAX];
    if (!path_split(path, &segments) || !segments_decode(req, &segments))
        return;
    for (uint32_t i = 0; i < server->routes_count; i++) {
        const struct tn_http_route *route = &server->routes[i];
        if ((route->flags & TN_HTTP_FALLBACK) || !path_matches(route->path, &segments, params))
            continue;
        if (buf->len)
            tn_buf_add_text(buf, ", ");
        tn_buf_add_text(buf, route->method);
    }
}
