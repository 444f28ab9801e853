/* In-memory adapter of stream/state.h: a sorted array, copied on change while a snapshot holds it.
 * It is the reference for what an adapter does, and fails on demand.
 *
 * Snapshots and iterators stay valid while the state changes. @thread any (one lock) */
#ifndef TN_TESTS_SUPPORT_MEM_STATE_H
#define TN_TESTS_SUPPORT_MEM_STATE_H

#include "stream/state.h"

struct mem_state_stats {
    int64_t gets; /* multi_get calls */
    int64_t keys; /* keys asked for */
    int64_t found;
    int64_t changes;
    int64_t puts;
    int64_t ranges;
};

/* Closed through type->close. */
struct tn_state *mem_state_new(void);
/* The n-th fallible call from now fails with TN_E_IO, nothing changed (1 = the next); 0 = none. */
void mem_state_fail_at(struct tn_state *state, int64_t n);
void mem_state_stats(struct tn_state *state, struct mem_state_stats *ret_stats);
size_t mem_state_count(struct tn_state *state);

#endif
