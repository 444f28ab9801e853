/* The list of formats; add one here after writing its descriptor (connectors/README.md, "How to add one"). */
#include "connectors/formats.h"

static const struct tn_format *const builtin[] = {
    &tn_format_json, &tn_format_delimited, &tn_format_kafka, &tn_format_none, &tn_format_raw,
};

static const struct tn_formats formats = {builtin, sizeof builtin / sizeof *builtin};

const struct tn_formats *tn_formats_builtin(void)
{
    return &formats;
}

const struct tn_format *tn_format_find(const struct tn_formats *list, struct tn_str name)
{
    for (size_t i = 0; i < list->count; i++)
        if (tn_str_eq_nocase(tn_str_of(list->items[i]->name), name))
            return list->items[i];
    return NULL;
}
