/* Rows as text of zone files and folders: what the readers of file_scan.h read back unchanged.
 * Times are ISO 8601 in UTC with as many digits as they need, bytes base64, doubles as Java prints
 * them.
 * @thread any */
#ifndef TN_CONNECTORS_FILE_WRITE_H
#define TN_CONNECTORS_FILE_WRITE_H

#include "connectors/file_layout.h"
#include "stream/batch.h"

/* Rows [from, from + count), a line each. columns has the layout's columns; JSON members are named
 * as the columns, NULL members are left out. */
void tn_file_write_rows(const struct tn_file_layout *layout, const struct tn_column *columns,
                        uint32_t from, uint32_t count, struct tn_buf *buf);

/* Can a partition column of this kind be written? */
bool tn_file_part_is_kind(enum tn_kind kind);
/* Text of a partition value, as zone tables read it back; ptr NULL = NULL. In the column or the
 * arena. */
struct tn_str tn_file_part_text(const struct tn_column *col, uint32_t row, struct tn_arena *arena);
/* Hive's escaping of a name or value of a folder; NULL and the empty text are one there. */
void tn_file_part_escape(struct tn_str value, struct tn_buf *buf);

#endif
