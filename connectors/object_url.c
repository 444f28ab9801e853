/* Object stores by URL; see object_url.h. One S3 adapter (a thread with its connections) serves all
 * buckets of the process; it starts with the first S3 store.
 * @thread any; one lock around the start of the adapter
 */
#include "connectors/object_url.h"

#include <ctype.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "connectors/folder_store.h"
#include "connectors/s3_store.h"
#include "stream/base/mem.h"

#define URL_MAX    2048
#define BUCKET_MAX 63

struct tn_object_stores {
    struct tn_s3_options options;
    struct tn_clock *clock;
    struct tn_metrics *metrics;
    pthread_mutex_t lock;
    struct tni_s3 *s3;
};

/* A URL taken apart. */
struct place {
    bool is_s3;
    char bucket[BUCKET_MAX + 1];
    char path[URL_MAX]; /* prefix without slashes at its ends, or the folder */
};

/* ---- parsing ---- */

static enum tn_status refuse(const char *url, const char *why, const char *hint, struct tn_err *err)
{
    enum tn_status st = tn_err_set(err, TN_E_INVALID, "the location '%.200s' %s", url, why);
    tn_err_hint(err, "%s", hint);
    return st;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : isxdigit((unsigned char)c) ? tolower(c) - 'a' + 10 : -1;
}

/* Percent-decoding of file URLs. */
static bool decode(const char *text, char *to, size_t size)
{
    size_t len = 0;
    for (; *text && len + 1 < size; text++) {
        int high = *text == '%' ? hex_digit(text[1]) : -1;
        int low = high >= 0 ? hex_digit(text[2]) : -1;
        if (*text == '%' && (low < 0 || high + low == 0))
            return false;
        to[len++] = low >= 0 ? (char)(high * 16 + low) : *text;
        text += low >= 0 ? 2 : 0;
    }
    to[len] = 0;
    return !*text;
}

static enum tn_status parse_folder(const char *url, struct place *place, struct tn_err *err)
{
    const char *path = url;
    if (strncmp(url, "file:", 5) == 0) {
        path = url + 5;
        if (strncmp(path, "//localhost/", 12) == 0)
            path += 11;
        else if (strncmp(path, "///", 3) == 0)
            path += 2;
        else if (strncmp(path, "//", 2) == 0)
            return refuse(url, "names a host", "write file:///folder", err);
    }
    bool is_ok = path == url ? strlen(path) < sizeof place->path
                             : decode(path, place->path, sizeof place->path);
    if (is_ok && path == url)
        memcpy(place->path, path, strlen(path) + 1);
    if (!is_ok || !place->path[0])
        return refuse(url, "is not a folder's name", "write /folder or file:///folder", err);
    return TN_OK;
}

static enum tn_status parse_s3(const char *url, const char *rest, struct place *place,
                               struct tn_err *err)
{
    size_t len = strcspn(rest, "/");
    if (memchr(rest, '@', len) || memchr(rest, ':', len)) {
        enum tn_status st =
            tn_err_set(err, TN_E_INVALID, "a location must hold a bucket, not a key or a port");
        tn_err_hint(err, "keys come from the environment or the credentials file; a server is "
                         "named by s3.endpoint");
        return st;
    }
    bool is_ok = len >= 3 && len <= BUCKET_MAX && rest[0] != '.' && rest[0] != '-';
    for (size_t i = 0; i < len && is_ok; i++)
        is_ok = isalnum((unsigned char)rest[i]) || strchr(".-_", rest[i]);
    if (!is_ok || memmem(rest, len, "..", 2))
        return refuse(url, "does not name a bucket",
                      "write s3://BUCKET/PREFIX; a bucket has 3 to 63 letters, digits, '-' and '.'",
                      err);
    memcpy(place->bucket, rest, len);
    place->bucket[len] = 0;
    const char *prefix = rest + len;
    while (*prefix == '/')
        prefix++;
    size_t n = strlen(prefix);
    while (n && prefix[n - 1] == '/')
        n--;
    if (n > TN_OBJECT_KEY_MAX)
        return refuse(url, "is too long", "a prefix has at most 1024 bytes", err);
    memcpy(place->path, prefix, n);
    place->path[n] = 0;
    if (n && tn_failed(tn_object_key_check(place->path, true, NULL)))
        return refuse(url, "has a prefix that is not allowed",
                      "segments between '/' must not be empty, '.' or '..'", err);
    return TN_OK;
}

static enum tn_status parse(const char *url, struct place *place, struct tn_err *err)
{
    static const char *const s3_schemes[] = {"s3://", "s3a://", "s3n://"};
    *place = (struct place){0};
    if (strlen(url) >= URL_MAX)
        return refuse(url, "is too long", "at most 2047 bytes", err);
    for (size_t i = 0; i < sizeof s3_schemes / sizeof *s3_schemes; i++) {
        size_t len = strlen(s3_schemes[i]);
        place->is_s3 = strncasecmp(url, s3_schemes[i], len) == 0;
        if (place->is_s3)
            return parse_s3(url, url + len, place, err);
    }
    const char *scheme_end = strstr(url, "://");
    if (scheme_end && strncmp(url, "file:", 5) != 0 &&
        !memchr(url, '/', (size_t)(scheme_end - url)))
        return refuse(url, "is of a kind that is not known",
                      "known are s3://bucket/prefix, s3a://, file:///folder and plain folders",
                      err);
    return parse_folder(url, place, err);
}

/* ---- normal form ---- */

/* Absolute, without ".", ".." and repeated slashes; links stay as they are. */
static bool absolute(const char *path, char to[URL_MAX + PATH_MAX])
{
    char here[PATH_MAX], whole[URL_MAX + PATH_MAX];
    size_t len = 0;
    if (path[0] != '/' && !getcwd(here, sizeof here))
        return false;
    snprintf(whole, sizeof whole, "%s/%s", path[0] == '/' ? "" : here, path);
    for (const char *p = whole; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (len && to[--len] != '/')
                ;
        } else if (n && !(n == 1 && p[0] == '.')) {
            to[len++] = '/';
            memcpy(to + len, p, n);
            len += n;
        }
        p += n + (p[n] == '/');
    }
    if (len == 0)
        to[len++] = '/';
    to[len] = 0;
    return true;
}

enum tn_status tn_object_url_normal(const char *url, struct tn_buf *ret_url, struct tn_err *err)
{
    struct place place;
    char path[URL_MAX + PATH_MAX];
    TN_TRY(parse(url, &place, err));
    if (place.is_s3) {
        tn_buf_printf(ret_url, "s3://%s%s%s", place.bucket, place.path[0] ? "/" : "", place.path);
        return TN_OK;
    }
    if (!absolute(place.path, path))
        return tn_err_set(err, TN_E_IO, "the working folder cannot be read");
    tn_buf_add_text(ret_url, "file://");
    for (const char *p = path; *p; p++)
        if (*p == '%' || (unsigned char)*p < 0x21)
            tn_buf_printf(ret_url, "%%%02X", (unsigned)(unsigned char)*p);
        else
            tn_buf_add_byte(ret_url, *p);
    return TN_OK;
}

/* ---- opening ---- */

struct tn_object_stores *tn_object_stores_new(const struct tn_s3_options *s3,
                                              struct tn_clock *clock, struct tn_metrics *metrics)
{
    struct tn_object_stores *stores = tn_alloc(sizeof *stores);
    stores->options = *s3;
    stores->clock = clock;
    stores->metrics = metrics;
    pthread_mutex_init(&stores->lock, NULL);
    return stores;
}

void tn_object_stores_free(struct tn_object_stores *stores)
{
    if (!stores)
        return;
    tni_s3_free(stores->s3);
    pthread_mutex_destroy(&stores->lock);
    tn_free(stores);
}

enum tn_status tn_object_store_open(struct tn_object_stores *stores, const char *url,
                                    const struct tn_s3_options *options,
                                    struct tn_object_store **ret_store, struct tn_err *err)
{
    struct place place;
    TN_TRY(parse(url, &place, err));
    if (!place.is_s3)
        return tn_folder_store_open(place.path, ret_store, err);
    pthread_mutex_lock(&stores->lock);
    if (!stores->s3)
        stores->s3 = tni_s3_new(stores->clock, stores->metrics, (int)stores->options.connections);
    pthread_mutex_unlock(&stores->lock);
    return tni_s3_store_open(stores->s3, place.bucket, place.path,
                             options ? options : &stores->options, ret_store, err);
}
