/* Result writers: struct tn_rows implementations that print batches as NDJSON, one JSON document,
 * or CSV into a byte sink. Values have one canonical text each (tn_cell_json, tn_cell_text), shared
 * by every surface:
 *
 *   BOOLEAN true/false · INTEGER, BIGINT digits · DOUBLE shortest round-trip digits as streams
 * print them, NaN and infinities as strings in JSON · DECIMAL plain with its full scale (a JSON
 * number) · VARCHAR text · BYTES base64 · DATE 2024-01-31 · TIME 10:00:00.000 · TIMESTAMP
 * 2024-01-31 10:00:00.000 (six digits when µs are not whole ms) · TIMESTAMP WITH TIME ZONE the same
 * with " UTC" · JSON itself · intervals as Trino shows them · ARRAY, MAP, STRUCT as JSON (in CSV
 * and text: the JSON text).
 *
 * Ownership: the writer borrows the sink. @thread the statement's
 */
#ifndef TN_SQL_WRITERS_H
#define TN_SQL_WRITERS_H

#include "sql/result.h"

/* Takes all bytes or fails; TN_E_CANCELLED when the client has gone. */
struct tn_byte_sink {
    enum tn_status (*write)(struct tn_byte_sink *sink, const char *bytes, size_t len,
                            struct tn_err *err);
};

enum tn_result_format { TN_RESULT_NDJSON, TN_RESULT_JSON, TN_RESULT_CSV };

struct tn_writer;

struct tn_writer *tn_writer_new(enum tn_result_format format, struct tn_byte_sink *sink);
void tn_writer_free(struct tn_writer *writer); /* NULL is a no-op; writes nothing */
/* What to give to an executor. */
struct tn_rows *tn_writer_rows(struct tn_writer *writer);
/* Close the document and flush. Statements without a result set give an empty document. */
enum tn_status tn_writer_finish(struct tn_writer *writer, struct tn_err *err);
/* Flush what is buffered now (push queries: after each batch). */
enum tn_status tn_writer_flush(struct tn_writer *writer, struct tn_err *err);
int64_t tn_writer_rows_count(const struct tn_writer *writer);
/* "application/x-ndjson", "application/json", "text/csv; charset=utf-8; header=present". */
const char *tn_result_content_type(enum tn_result_format format);

/* One cell as JSON, or as plain text (NULL prints nothing). */
void tn_cell_json(struct tn_buf *buf, const struct tn_column *col, uint32_t row);
void tn_cell_text(struct tn_buf *buf, const struct tn_column *col, uint32_t row);
/* One row as a JSON object with the schema's names. */
void tn_row_json(struct tn_buf *buf, const struct tn_batch *batch, uint32_t row);

#endif
