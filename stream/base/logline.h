/* Log lines: key=value text on stderr, one line an event. Only runner, connectors' background
 * threads, dashboards/ and main.c log; library code is non-logging and returns errors.
 * tn_logf(TN_LOG_WARN, "kafka", "broker away, broker=%s attempt=%d", …) @thread any
 */
#ifndef TN_STREAM_BASE_LOGLINE_H
#define TN_STREAM_BASE_LOGLINE_H

#include "stream/base/status.h"

enum tn_log_level { TN_LOG_ERROR, TN_LOG_WARN, TN_LOG_INFO, TN_LOG_DEBUG };

/* Where lines go; the default drops them (stream/ touches no file). main.c installs stderr with a
 * timestamp. */
typedef void (*tn_log_sink)(enum tn_log_level level, const char *component, const char *line);
void tn_log_set_sink(tn_log_sink sink, enum tn_log_level level_max);
void tn_logf(enum tn_log_level level, const char *component, const char *fmt, ...) TN_PRINTF(3, 4);

#endif
