/* Hash grouping for the native SQL executor: rows of batches → dense group ids in first-seen order.
 *
 * Keys compare by distinctness (NULL equals NULL, −0.0 equals 0.0, NaN equals NaN). One int32,
 * int64, BOOLEAN-free fixed width or VARCHAR key column takes a fast path; several columns are
 * serialised once per row. States of aggregates live beside the groups: state i of a group is plain
 * memory that never moves.
 *
 * Ownership: the object owns keys and states. @thread owner
 */
#ifndef TN_STREAM_HASHAGG_H
#define TN_STREAM_HASHAGG_H

#include "stream/agg.h"
#include "stream/batch.h"

struct tn_hashagg;

/* keys_count may be 0: then there is one group from the start. aggs are borrowed and may be none
 * (DISTINCT). bytes_max: TN_E_LIMIT once keys and states pass it; 0 = no limit. */
struct tn_hashagg *tn_hashagg_new(uint32_t keys_count, const struct tn_type *const *key_types,
                                  uint32_t aggs_count, const struct tn_agg_call *aggs,
                                  size_t bytes_max);
void tn_hashagg_free(struct tn_hashagg *ha);

/* Group of each row: rows[i] (i when rows is NULL) of the key columns → ret_groups[i]; new groups
 * are numbered on. */
enum tn_status tn_hashagg_groups(struct tn_hashagg *ha, const struct tn_column *keys,
                                 const uint32_t *rows, uint32_t count, uint32_t *ret_groups,
                                 struct tn_err *err);
/* Run all aggregates over the rows. args[a] are the argument columns of aggregate a; filters[a] a
 * BOOLEAN column or NULL (FILTER (WHERE …)); filters itself may be NULL. Rows with a NULL argument
 * are left out where the aggregate ignores them; DISTINCT arguments are deduplicated per group. */
enum tn_status tn_hashagg_update(struct tn_hashagg *ha, const uint32_t *groups,
                                 const uint32_t *rows, uint32_t count,
                                 const struct tn_column *const *args,
                                 const struct tn_column *const *filters, struct tn_err *err);
/* to += from; group keys of `from` are looked up or added. For parallel scans. Same keys and aggs.
 * Not with DISTINCT. */
enum tn_status tn_hashagg_merge(struct tn_hashagg *to, const struct tn_hashagg *from,
                                struct tn_err *err);

/* The states of a group, one `encode` behind the other: added to `buf`. */
void tn_hashagg_encode(const struct tn_hashagg *ha, uint32_t group, struct tn_buf *buf);
/* And back: the states are merged into those of the group. TN_E_CORRUPT when they are none. */
enum tn_status tn_hashagg_merge_encoded(struct tn_hashagg *ha, uint32_t group, struct tn_str states,
                                        struct tn_err *err);
uint32_t tn_hashagg_count(const struct tn_hashagg *ha);
size_t tn_hashagg_bytes(const struct tn_hashagg *ha);
/* Key columns and final aggregate columns of groups [from, from + count) in `arena`. First
 * evaluation error of an aggregate (sum overflow) is returned. */
enum tn_status tn_hashagg_columns(struct tn_hashagg *ha, uint32_t from, uint32_t count,
                                  struct tn_arena *arena, struct tn_column *ret_keys,
                                  struct tn_column *ret_values, struct tn_err *err);

#endif
