/* Doubles as Java's Double.toString lays them out. @thread any */
#ifndef TN_STREAM_BASE_DTOA_H
#define TN_STREAM_BASE_DTOA_H

#include "stream/base/buf.h"

/* Shortest digits that read back to the same double; plain with at least one decimal for 1e-3 ≤ |x| < 1e7 ("100.0"),
 * else "1.0E7". NaN, Infinity, -Infinity. */
void tn_double_print(double value, struct tn_buf *buf);

#endif
