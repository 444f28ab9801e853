/* gzip of buffered replies, for routes that allow it and clients that accept it. Level 1 of ISA-L:
 * pages of JSON shrink to a quarter at several hundred MB/s. Small bodies are left as they are.
 * @thread the polling thread of the connection */
#include "connectors/http_int.h"

#include <isa-l/igzip_lib.h>
#include <string.h>

#include "stream/base/mem.h"

#define GZIP_BYTES_MIN ((size_t)1024)

/* Does Accept-Encoding name gzip (or everything) without refusing it by q=0? */
static bool accepts_gzip(struct tn_str accept)
{
    for (size_t at = 0; at < accept.len;) {
        size_t end = at;
        while (end < accept.len && accept.ptr[end] != ',')
            end++;
        struct tn_str item = {accept.ptr + at, end - at};
        at = end + 1;
        while (item.len && *item.ptr == ' ') {
            item.ptr++;
            item.len--;
        }
        size_t len = 0;
        while (len < item.len && item.ptr[len] != ';' && item.ptr[len] != ' ')
            len++;
        struct tn_str name = {item.ptr, len};
        if (!tn_str_eq_nocase(name, TN_STR("gzip")) && !tn_str_eq(name, TN_STR("*")))
            continue;
        const char *quality = memmem(item.ptr, item.len, "q=", 2);
        size_t left = quality ? item.len - (size_t)(quality - item.ptr) - 2 : 0;
        bool is_refused = quality != NULL && left > 0;
        for (size_t i = 0; i < left; i++)
            if (quality[2 + i] >= '1' && quality[2 + i] <= '9')
                is_refused = false;
        return !is_refused;
    }
    return false;
}

bool tni_http_gzip(struct tn_http_request *req)
{
    struct tn_str body = tn_buf_str(&req->out);
    if (!req->is_gzip_allowed || body.len < GZIP_BYTES_MIN || body.len > UINT32_MAX / 2 ||
        !accepts_gzip(tn_http_header(req, "Accept-Encoding")))
        return false;
    struct isal_zstream stream;
    struct tn_buf out;
    void *level = tn_alloc_raw(ISAL_DEF_LVL1_DEFAULT);
    tn_buf_init(&out, req->out.max);
    char *to = tn_buf_reserve(&out, body.len + body.len / 8 + 1024);
    isal_deflate_init(&stream);
    stream.level = 1;
    stream.level_buf = level;
    stream.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    stream.gzip_flag = IGZIP_GZIP;
    stream.end_of_stream = 1;
    stream.flush = NO_FLUSH;
    stream.next_in = (uint8_t *)(uintptr_t)body.ptr;
    stream.avail_in = (uint32_t)body.len;
    stream.next_out = (uint8_t *)to;
    stream.avail_out = to ? (uint32_t)(out.cap - out.len) : 0;
    bool is_done = to && isal_deflate(&stream) == COMP_OK && stream.avail_in == 0 &&
                   stream.internal_state.state == ZSTATE_END;
    if (is_done) {
        out.len = stream.total_out;
        tn_buf_release(&req->out);
        req->out = out;
    } else {
        tn_buf_release(&out);
    }
    tn_free(level);
    return is_done;
}
