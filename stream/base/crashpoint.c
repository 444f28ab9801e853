/* The hook of the named crash points; see the header. */
#include "stream/base/crashpoint.h"

_Atomic(tn_crash_hook) tn_crash_hook_installed;

void tn_crash_hook_set(tn_crash_hook hook)
{
    atomic_store(&tn_crash_hook_installed, hook);
}
