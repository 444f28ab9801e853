/* Parts of the table of casts, private to stream/func_cast*.c. Each gives the kernel for the types
 * or NULL.
 * @thread any */
#ifndef TN_STREAM_FUNC_CAST_H
#define TN_STREAM_FUNC_CAST_H

#include "stream/func.h"

tn_kernel tni_cast_text_kernel(const struct tn_type *from, const struct tn_type *to,
                               enum tn_rules rules);
tn_kernel tni_cast_time_kernel(const struct tn_type *from, const struct tn_type *to,
                               enum tn_rules rules);

#endif
