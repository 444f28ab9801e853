/* Text of single values: date and time layouts, base64, intervals. Shared by the result writers.
 * @thread any */
#ifndef TN_SQL_CELL_TEXT_H
#define TN_SQL_CELL_TEXT_H

#include "stream/batch.h"

void tni_date_print(int64_t days,
                    struct tn_buf *buf); /* 2024-01-31; years beyond 9999 with a sign */
void tni_time_print(int64_t day_us, struct tn_buf *buf);          /* 10:00:00.000 or .000000 */
void tni_timestamp_print(int64_t us, struct tn_buf *buf);         /* date, space, time */
void tni_interval_day_print(int64_t us, struct tn_buf *buf);      /* 2 03:00:00.000 */
void tni_interval_year_print(int64_t months, struct tn_buf *buf); /* 1-6 */
void tni_base64_print(struct tn_str bytes, struct tn_buf *buf);

#endif
