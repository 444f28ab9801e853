/* Parts of the virtual tables: vtab.c (tables, cursors, slots of a statement), vtab_plan.c (which
 * constraints are taken), vtab_store.c (where rows come from, rows that are kept, hash indexes).
 * Ownership: slot state belongs to the statement. @thread the statement's */
#ifndef TN_SQL_VTAB_INT_H
#define TN_SQL_VTAB_INT_H

#include <assert.h>

#include "sql/exec_sqlite_int.h"

#define CHUNK_SHIFT 12
#define EQUALS_MAX  8    /* columns of one hash index */
#define TESTS_MAX   32   /* constraints of one plan */
#define INDEXES_MAX 8    /* hash indexes of one slot */
#define LOOKUPS_MAX 1000 /* engine look-ups of one slot before it is stored */
#define NO_ENTRY    UINT32_MAX

static_assert(1u << CHUNK_SHIFT == TN_BATCH_ROWS_MAX, "a place is chunk and row of one batch");

struct tni_ventry {
    uint64_t hash;
    uint32_t place, next;
};

struct tni_vindex {
    uint32_t columns_count;
    uint32_t columns[EQUALS_MAX]; /* kept columns, ascending */
    uint32_t *heads, mask;
    struct tni_ventry *entries;
    uint32_t count, cap;
};

struct tni_vslot {
    struct tni_statement *stmt;
    const struct tni_slot *slot;
    uint32_t kept_count;
    int *kept_of; /* slot column → column of the batches, −1 = nobody reads it */
    struct tn_schema kept;
    struct tn_expr **exprs;
    uint32_t keys_count;    /* key columns of a KTable that can be looked up; 0 = none */
    int *key_columns;       /* slot columns */
    struct tni_pred *preds; /* of the slot's own filter */
    uint32_t preds_count;
    uint32_t passes, lookups;
    /* stored rows */
    bool is_stored;
    struct tn_arena arena;
    struct tn_batch **chunks;
    uint32_t chunks_count, chunks_cap;
    struct tni_vindex indexes[INDEXES_MAX];
    uint32_t indexes_count;
    int64_t rows_count, charged;
};

struct tni_vtable {
    sqlite3_vtab base; /* first */
    struct tni_conn *conn;
    uint32_t slot;
};

static inline struct tni_vslot *tni_vtable_slot(const struct tni_vtable *table)
{
    struct tni_statement *stmt = table->conn->stmt;
    TN_ASSERT(stmt && table->slot < stmt->gen.slots_count);
    return &stmt->slots[table->slot];
}

/* vtab_plan.c: xBestIndex; what idxNum and idxStr mean stands in vtab.c. */
int tni_vtable_best_index(sqlite3_vtab *base, sqlite3_index_info *info);

/* vtab_store.c */
/* Rows of the slot with its filter applied; `equals` are looked up in the KTable (is_lookup). */
enum tn_status tni_vslot_source(struct tni_vslot *vs, const struct tni_pred *equals,
                                uint32_t equals_count, struct tni_op **ret_op, struct tn_err *err);
/* Copies the rows, once. */
enum tn_status tni_vslot_store(struct tni_vslot *vs, struct tn_err *err);
/* Hash index over kept columns, ascending; *ret_index NULL: there are too many, scan instead. */
enum tn_status tni_vslot_index(struct tni_vslot *vs, const uint32_t *columns,
                               uint32_t columns_count, const struct tni_vindex **ret_index,
                               struct tn_err *err);
uint64_t tni_vslot_hash(const struct tn_value *value, uint64_t seed);

#endif
