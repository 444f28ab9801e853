/* Budget of one statement: deadline, cancellation, memory. Executors check once a batch, SQLite's
 * progress handler every few thousand instructions. The names are Trino's, so that its clients
 * recognise them; the hint names the option that moves the limit.
 *
 * Ownership: the caller's. @thread is_cancelled and memory_bytes: any; the rest: the statement's */
#include "sql/result.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "stream/base/clock.h"

static enum tn_status memory_error(const struct tn_budget *budget, struct tn_err *err)
{
    tn_err_at(err, TN_E_NOMEM, "EXCEEDED_LOCAL_MEMORY_LIMIT", 0, 0,
              "query exceeded its memory limit of %" PRId64 " bytes", budget->memory_bytes_max);
    tn_err_hint(err, "raise sql.memory.bytes, or narrow the query with WHERE or LIMIT");
    return TN_E_NOMEM;
}

enum tn_status tn_budget_check(struct tn_budget *budget, struct tn_err *err)
{
    if (!budget)
        return TN_OK;
    if (atomic_load_explicit(&budget->is_cancelled, memory_order_relaxed))
        return tn_err_at(err, TN_E_CANCELLED, "USER_CANCELED", 0, 0, "query was cancelled");
    if (budget->memory_bytes_max &&
        atomic_load_explicit(&budget->memory_bytes, memory_order_relaxed) >
            budget->memory_bytes_max)
        return memory_error(budget, err);
    if (budget->deadline_ns && tn_mono_ns(budget->clock) >= budget->deadline_ns) {
        tn_err_at(err, TN_E_TIMEOUT, "EXCEEDED_TIME_LIMIT", 0, 0, "query exceeded its time limit");
        tn_err_hint(err, "raise sql.timeout.ms, or narrow the query with WHERE or LIMIT");
        return TN_E_TIMEOUT;
    }
    return TN_OK;
}

enum tn_status tn_budget_charge(struct tn_budget *budget, int64_t bytes, struct tn_err *err)
{
    if (!budget)
        return TN_OK;
    int64_t now = atomic_fetch_add_explicit(&budget->memory_bytes, bytes, memory_order_relaxed);
    if (bytes > 0 && budget->memory_bytes_max && now + bytes > budget->memory_bytes_max)
        return memory_error(budget, err);
    return TN_OK;
}
