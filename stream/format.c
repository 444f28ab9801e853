/* Format registry look-up. */
#include "stream/format.h"

const struct tn_format *tn_format_find(const struct tn_formats *formats, struct tn_str name)
{
    for (size_t i = 0; i < formats->count; i++)
        if (tn_str_eq_nocase(tn_str_of(formats->items[i]->name), name))
            return formats->items[i];
    return NULL;
}
