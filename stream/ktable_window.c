/* Time index and sessions of a ktable (not built yet: these hooks do nothing). @thread worker */
#include "stream/ktable_int.h"
void tni_windows_free(struct tni_ktable *kt)
{
    (void)kt;
}
void tni_windows_created(struct tni_ktable *kt, struct tni_entry *e)
{
    (void)kt;
    (void)e;
}
void tni_windows_dropped(struct tni_ktable *kt, struct tni_entry *e)
{
    (void)kt;
    (void)e;
}
void tni_windows_reset(struct tni_ktable *kt)
{
    (void)kt;
}
