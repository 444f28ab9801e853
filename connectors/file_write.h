/* Rows as text of zone files: what the readers of file_scan.h read back unchanged. Times are ISO
 * 8601 in UTC with as many digits as they need, bytes base64, doubles as Java prints them.
 * @thread any */
#ifndef TN_CONNECTORS_FILE_WRITE_H
#define TN_CONNECTORS_FILE_WRITE_H

#include "connectors/file_layout.h"
#include "stream/batch.h"

/* Rows [from, from + count), a line each. columns has the layout's columns; JSON members are named
 * as the columns, NULL members are left out. */
void tn_file_write_rows(const struct tn_file_layout *layout, const struct tn_column *columns,
                        uint32_t from, uint32_t count, struct tn_buf *buf);

#endif
