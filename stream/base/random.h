/* The process's source of random numbers for RANDOM() and UUID(). Deterministic from its seed, so
 * that simulations repeat; main seeds it from the system once at start. @thread any (atomic)
 */
#ifndef TN_STREAM_BASE_RANDOM_H
#define TN_STREAM_BASE_RANDOM_H

#include <stdint.h>

void tn_random_seed(uint64_t seed);
uint64_t tn_random_next(void);
/* 0 <= x < 1 */
double tn_random_unit(void);

#endif
