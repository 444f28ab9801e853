/* Rows of one file as columns. Memory is bounded: one buffer of a few hundred KiB, or one line of
 * at most TN_FILE_LINE_MAX bytes, and one batch.
 *
 * What is promised about files that change while they are read: only the first `bytes` bytes of the
 * object are read. A last line without newline that is not whole is left out when the file
 * may still be growing. A gzip that ends early is an error, unless the file may still be growing:
 * then its whole lines count.
 *
 * Ownership: a scan is heap memory; decoded columns live in the arena given to next.
 * @thread one owner
 */
#ifndef TN_CONNECTORS_FILE_SCAN_H
#define TN_CONNECTORS_FILE_SCAN_H

#include "connectors/file_bytes.h"
#include "connectors/file_layout.h"
#include "stream/batch.h"

#define TN_FILE_LINE_MAX ((size_t)16 << 20)

struct tn_file_scan;

struct tn_file_scan_spec {
    struct tn_object_store *store;       /* borrowed */
    const char *key;                     /* borrowed */
    const char *etag;                    /* the version to read; NULL = any. Borrowed */
    int64_t bytes;                       /* size of the object */
    const struct tn_file_layout *layout; /* borrowed */
    const bool *needed;                  /* by column of the layout; borrowed */
    int64_t from, to; /* lines that begin in [from, to) of a plain object; 0, bytes = all */
    bool is_growing;  /* the file may still be written to */
    int64_t expanded_max, timeout_ms;
};

struct tn_file_scan_counts {
    int64_t rows, bad_lines, bytes; /* bytes: fetched */
};

enum tn_status tn_file_scan_open(const struct tn_file_scan_spec *spec,
                                 struct tn_file_scan **ret_scan, struct tn_err *err);
/* Up to TN_BATCH_ROWS_MAX rows; ret_columns has the layout's columns, those not needed absent.
 * TN_END. TN_NOT_FOUND: there is no such object (before the first rows only; later TN_E_BUSY: it
 * went away while it was read). */
enum tn_status tn_file_scan_next(struct tn_file_scan *scan, struct tn_arena *arena,
                                 struct tn_column **ret_columns, uint32_t *ret_rows,
                                 struct tn_err *err);
const struct tn_file_scan_counts *tn_file_scan_counts(const struct tn_file_scan *scan);
enum tn_file_codec tn_file_scan_codec(const struct tn_file_scan *scan); /* after the first next */
void tn_file_scan_close(struct tn_file_scan *scan);                     /* NULL is a no-op */

#endif
