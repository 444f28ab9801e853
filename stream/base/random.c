/* SplitMix64 over an atomic counter: every call, from whichever thread, takes the next number.
 * @thread any */
#include "stream/base/random.h"

#include <stdatomic.h>

static atomic_uint_fast64_t state = UINT64_C(0x853C49E6748FEA9B);

void tn_random_seed(uint64_t seed)
{
    atomic_store(&state, seed);
}

uint64_t tn_random_next(void)
{
    uint64_t z =
        atomic_fetch_add(&state, UINT64_C(0x9E3779B97F4A7C15)) + UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

double tn_random_unit(void)
{
    return (double)(tn_random_next() >> 11) * 0x1p-53;
}
