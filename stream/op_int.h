/* Shared by the operators (op_*.c). Private to them. @thread worker */
#ifndef TN_STREAM_OP_INT_H
#define TN_STREAM_OP_INT_H

#include "stream/engine_int.h"
#include "stream/window.h"

/* Changes on their way from a delta to a batch: too large for the stack, one per worker. */
struct tni_chunk {
    struct tni_row rows[TN_BATCH_ROWS_MAX];
    uint8_t ops[TN_BATCH_ROWS_MAX];
    int64_t deleted_at_ms[TN_BATCH_ROWS_MAX]; /* INT64_MIN: the row's own time */
    uint32_t count;
};

/* Entries seen in the current run of rows; an old stamp means empty. */
#define TNI_POINTER_SET_SIZE 8192u
#define TNI_POINTER_SET_FILL 4096u
struct tni_pointer_set {
    uint64_t stamp;
    uint64_t stamps[TNI_POINTER_SET_SIZE];
    uintptr_t pointers[TNI_POINTER_SET_SIZE];
};

struct tni_scratch {
    struct tni_chunk chunk;
    struct tni_pointer_set set;
};

/* A change of a store as rows of the chunk: at most two. */
void tni_chunk_change(struct tni_chunk *chunk, const struct tni_change *change, bool needs_before);
/* The chunk's rows, decoded as those of `op`, go to the readers of `out`; resets chunk and arena.
 */
enum tn_status tni_chunk_push(struct tni_task *task, struct tni_op *op, struct tni_op *out,
                              struct tni_chunk *chunk, struct tn_err *err);
/* Changes of a round go to the readers of `out`. */
enum tn_status tni_push_changes(struct tni_task *task, struct tni_op *op, struct tni_op *out,
                                const struct tni_delta *delta, struct tn_err *err);
void tni_write_changelog(struct tni_task *task, struct tni_op *op, struct tni_turn *turn,
                         const struct tni_delta *delta);
/* op_hold.c: the changes of a round of the store below, and the boundary of the HOLD itself. */
enum tn_status tni_hold_changes(struct tni_task *task, struct tni_op *op, struct tni_op *hold,
                                const struct tni_delta *delta, struct tn_err *err);
enum tn_status tni_hold_boundary(struct tni_task *task, struct tni_op *hold, struct tni_turn *turn,
                                 struct tn_err *err);

bool tni_op_emits_at_boundary(const struct tni_task *task, const struct tni_op *op);
/* Batch of the node's schema; rowtimes allocated, columns empty. */
struct tn_batch *tni_state_batch(struct tni_op *op, uint32_t rows_count, struct tn_arena *arena,
                                 struct tn_column **ret_keys, struct tn_column **ret_values);
void tni_state_windows(struct tni_op *op, struct tn_batch *batch, int64_t *starts, int64_t *ends);
/* Stored rows, or entries of the open round, as a batch of the node's schema. */
enum tn_status tni_state_rows(struct tni_op *op, const struct tni_row *rows, uint32_t count,
                              struct tn_arena *arena, struct tn_batch **ret_batch,
                              struct tn_err *err);
enum tn_status tni_state_entries(struct tni_op *op, struct tni_entry *const *entries,
                                 uint32_t count, struct tn_arena *arena,
                                 struct tn_batch **ret_batch, struct tn_err *err);

/* Emit every update: what happened to entries, collected in order, pushed as one batch of changes.
 */
struct tni_updates {
    struct tn_batch *before, *after; /* rows i of both belong together */
    const bool *existed;             /* before the update */
    const bool *exists;              /* after it */
    uint32_t count;
};
enum tn_status tni_push_updates(struct tni_task *task, struct tni_op *op,
                                const struct tni_updates *updates, struct tn_err *err);

/* Rows of the batch that a stateful step may use: selected, value not null, no NULL among the key
 * columns. NULL: all of them. What is left out for a NULL is counted. */
const uint32_t *tni_usable_rows(struct tni_task *task, const struct tn_batch *batch,
                                const struct tn_column *keys, uint32_t keys_count,
                                uint32_t *ret_count);
/* One side of a batch as bytes: row i is [ends[i], ends[i + 1]) of bytes, or null. */
struct tni_encoded {
    struct tn_buf *bytes;
    size_t *ends;
    const uint8_t *null_rows;
};
struct tni_encoded *tni_encode_side(struct tn_codec *codec, const struct tn_column *columns,
                                    uint32_t rows_count, const uint8_t *null_rows,
                                    struct tn_buf *buf, struct tn_arena *arena);
struct tn_str tni_encoded_row(const struct tni_encoded *encoded, uint32_t row);
/* Target partition of a record of op's topic. */
int32_t tni_partition_for(const struct tni_task *task, const struct tni_op *op, struct tn_str key);
/* Add a record to the open round. */
void tni_op_record(struct tni_task *task, struct tni_op *op, int32_t partition, struct tn_str key,
                   struct tn_str value, int64_t timestamp_ms);

void tni_task_touch(struct tni_task *task, struct tni_op *op);

#endif
