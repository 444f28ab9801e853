/* Log lines: formats into a bounded line and hands it to the installed sink (logline.h). @thread
 * any */
#include "stream/base/logline.h"

#include <stdatomic.h>
#include <stdio.h>

#define LINE_MAX_BYTES 2048

static _Atomic(tn_log_sink) log_sink;
static atomic_int log_level_max;

void tn_log_set_sink(tn_log_sink sink, enum tn_log_level level_max)
{
    atomic_store(&log_level_max, (int)level_max);
    atomic_store(&log_sink, sink);
}

void tn_logf(enum tn_log_level level, const char *component, const char *fmt, ...)
{
    tn_log_sink sink = atomic_load(&log_sink);
    if (!sink || (int)level > atomic_load(&log_level_max))
        return;
    char line[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    for (char *p = line; *p; p++) /* one event is one line, whatever user text it quotes */
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    sink(level, component, line);
}
