/* Lines of a file to rows of columns: the loops of the formats. Folder-private.
 *
 * A reader gives [p, end) with TNI_FILE_PAD readable bytes behind end. It stops at a full batch or
 * at the last whole line; with is_last, what is behind the last newline is a line too.
 * Ownership: columns in the run's arena. @thread one
 */
#ifndef TN_CONNECTORS_FILE_ROWS_H
#define TN_CONNECTORS_FILE_ROWS_H

#include "connectors/decode_run.h"
#include "connectors/file_layout.h"
#include "connectors/format_json.h"

#define TNI_FILE_PAD 64

struct tni_file_rows {
    const struct tn_file_layout *layout;
    struct tni_decode_run run;
    struct tni_cw *writers;
    uint32_t row, rows_max;
    int64_t lines; /* read so far, for messages */
    int64_t bad_lines;
    const char *bad_reason; /* of the first one */
    int64_t bad_line;
    bool is_last, is_tail_loose; /* a last line without newline may be half written: then it is left
                                    out unless it is whole */
    struct tni_json_codec *json; /* JSON */
    const uint32_t *fields;      /* CSV: last needed field + 1 */
};

/* Returns where it stopped (the start of a line), or NULL: the layout's policy is to fail. */
const char *tni_json_rows(struct tni_file_rows *rows, const char *p, const char *end);
const char *tni_csv_rows(struct tni_file_rows *rows, const char *p, const char *end);
/* Note a bad line that starts at row->row; false = fail. A row of NULLs is added or not. */
bool tni_file_bad_line(struct tni_file_rows *rows, const char *reason);
void tni_file_row_end(struct tni_file_rows *rows);

#endif
