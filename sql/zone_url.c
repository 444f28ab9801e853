/* URLs of zones and tables. Contract: sql/zone.h. */
#include "sql/zone.h"

static bool starts_with(struct tn_str text, const char *prefix, struct tn_str *ret_rest)
{
    size_t len = strlen(prefix);
    if (text.len < len || strncasecmp(text.ptr, prefix, len) != 0)
        return false;
    *ret_rest = (struct tn_str){text.ptr + len, text.len - len};
    return true;
}

static enum tn_status bad_url(const char *what, struct tn_str url, const char *why,
                              struct tn_err *err)
{
    tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0, "%s '%.*s': %s", what,
              TN_STR_FMT(url), why);
    tn_err_hint(err, "write s3://bucket/prefix/, file:///folder/ or an absolute path");
    return TN_E_INVALID;
}

/* Folders of `path` behind what the buffer holds, each with '/' at the end. */
static const char *add_folders(struct tn_str path, struct tn_buf *buf)
{
    size_t at = 0;
    while (at < path.len) {
        const char *slash = memchr(path.ptr + at, '/', path.len - at);
        size_t len = slash ? (size_t)(slash - path.ptr) - at : path.len - at;
        const char *folder = path.ptr + at;
        at += len + 1;
        if (len == 0)
            continue;
        if ((len == 1 && folder[0] == '.') || (len == 2 && !memcmp(folder, "..", 2)))
            return "'.' and '..' are not allowed";
        for (size_t i = 0; i < len; i++)
            if ((unsigned char)folder[i] < 0x20 || folder[i] == 0x7f)
                return "control characters are not allowed";
        tn_buf_add(buf, folder, len);
        tn_buf_add_byte(buf, '/');
    }
    return tn_buf_over(buf) ? "it is too long" : NULL;
}

enum tn_status tn_zone_url_clean(const char *what, struct tn_str url, struct tn_buf *ret_url,
                                 struct tn_err *err)
{
    static const char *const s3[] = {"s3://", "s3a://", "s3n://"};
    struct tn_str rest;
    const char *why = NULL;
    tn_buf_reset(ret_url);
    for (size_t i = 0; i < sizeof s3 / sizeof *s3; i++) {
        if (!starts_with(url, s3[i], &rest))
            continue;
        tn_buf_add_text(ret_url, "s3://");
        if (!rest.len || rest.ptr[0] == '/')
            return bad_url(what, url, "the bucket is missing", err);
        why = add_folders(rest, ret_url);
        return why ? bad_url(what, url, why, err) : TN_OK;
    }
    if (starts_with(url, "file://", &rest) || (url.len && url.ptr[0] == '/')) {
        if (url.ptr[0] == '/')
            rest = url;
        if (!rest.len || rest.ptr[0] != '/')
            return bad_url(what, url, "the path must be absolute", err);
        tn_buf_add_text(ret_url, "file:///");
        why = add_folders(rest, ret_url);
        return why ? bad_url(what, url, why, err) : TN_OK;
    }
    return bad_url(what, url, "unknown kind of location", err);
}
