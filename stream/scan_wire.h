/* Rows and key filters of table scans as bytes, between processes of one application
 * (sql/members.h).
 *
 * Both ends have the same schema: they compare fingerprints first. Only wanted columns travel; per
 * row their values in the encoding of rowcode.h, before the rows their event times.
 * @thread any
 */
#ifndef TN_STREAM_SCAN_WIRE_H
#define TN_STREAM_SCAN_WIRE_H

#include "stream/engine.h"

/* Names and types of the columns. */
uint64_t tn_scan_wire_fingerprint(const struct tn_schema *schema);

/* Appends the batch; needed by column, NULL = all. */
void tn_scan_wire_add(struct tn_buf *buf, const struct tn_batch *batch, const bool *needed);
/* The batch at *at, which moves behind it; in `arena`, text is copied. */
enum tn_status tn_scan_wire_read(const char **at, const char *end, const struct tn_schema *schema,
                                 const bool *needed, struct tn_arena *arena,
                                 struct tn_batch **ret_batch, struct tn_err *err);

/* A filter whose values are of other types than the key columns travels as none: whoever asked
 * checks rows again. `filter` may be NULL. */
void tn_scan_wire_add_filter(struct tn_buf *buf, const struct tn_key_filter *filter,
                             const struct tn_schema *schema, uint32_t keys_count);
/* *ret_filter in `arena`; NULL when none was sent. */
enum tn_status tn_scan_wire_read_filter(const char **at, const char *end,
                                        const struct tn_schema *schema, uint32_t keys_count,
                                        struct tn_arena *arena, struct tn_key_filter **ret_filter,
                                        struct tn_err *err);

#endif
