/* How rows lie in the files of a table. Compression is told by the first bytes of a file.
 *
 * Reading is lenient: a missing member or field, one of another type or one that does not fit is
 * NULL; JSON members match columns without regard to case; unknown ones are ignored. A line that is
 * no row at all (not JSON, not an object, a quote without end, longer than line_bytes_max) follows
 * on_bad and is counted.
 * @thread any
 */
#ifndef TN_CONNECTORS_FILE_LAYOUT_H
#define TN_CONNECTORS_FILE_LAYOUT_H

#include "stream/type.h"

enum tn_file_format { TN_FILE_JSON, TN_FILE_CSV };

enum tn_file_bad {
    TN_FILE_BAD_NULL, /* a row of NULLs */
    TN_FILE_BAD_SKIP,
    TN_FILE_BAD_FAIL /* the query fails and names file and line */
};

struct tn_file_layout {
    enum tn_file_format format;
    const struct tn_schema *schema; /* stored columns; CSV: in order */
    enum tn_file_bad on_bad;
    /* CSV */
    char separator, quote, escape; /* escape inside quotes; '"' = doubled quotes */
    uint32_t header_lines;
};

#endif
