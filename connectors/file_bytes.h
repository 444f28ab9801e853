/* Bytes of one object, decompressed, in order. Compression is told by the first bytes: gzip
 * (several members too) and zstd; everything else is taken as it is.
 *
 * Limits: at most `expanded_max` bytes come out of a compressed object (a bomb is an error), and
 * the window of zstd is at most 128 MiB.
 *
 * Ownership: heap; the store is borrowed. @thread one
 */
#ifndef TN_CONNECTORS_FILE_BYTES_H
#define TN_CONNECTORS_FILE_BYTES_H

#include "stream/object_store.h"

struct tn_file_bytes;

enum tn_file_codec { TN_FILE_PLAIN, TN_FILE_GZIP, TN_FILE_ZSTD };

struct tn_file_bytes_spec {
    struct tn_object_store *store; /* borrowed */
    const char *key;               /* borrowed */
    const char *etag;              /* the version to read; NULL = any. Borrowed */
    int64_t from, to;              /* bytes of the object */
    int64_t expanded_max;          /* 0 = no limit */
    int64_t timeout_ms;            /* of one request; 0 = the store's own */
};

enum tn_status tn_file_bytes_open(const struct tn_file_bytes_spec *spec,
                                  struct tn_file_bytes **ret_bytes, struct tn_err *err);
/* Append some bytes to buf; TN_END when there are no more. TN_NOT_FOUND: no such object.
 * TN_E_CORRUPT: not what its first bytes promised; *tn_file_bytes_is_short: it only ends early. */
enum tn_status tn_file_bytes_read(struct tn_file_bytes *bytes, struct tn_buf *buf,
                                  struct tn_err *err);
/* Did the compressed stream end before its end? */
bool tn_file_bytes_is_short(const struct tn_file_bytes *bytes);
enum tn_file_codec tn_file_bytes_codec(const struct tn_file_bytes *bytes);
int64_t tn_file_bytes_fetched(const struct tn_file_bytes *bytes); /* from the store */
void tn_file_bytes_close(struct tn_file_bytes *bytes);            /* NULL is a no-op */

#endif
