/* The list of formats; add one here after writing its descriptor (connectors/README.md, "How to add
 * one"). */
#include "connectors/formats.h"

static const struct tn_format *const builtin[] = {
    &tn_format_json, &tn_format_delimited, &tn_format_kafka, &tn_format_none, &tn_format_raw,
};

static const struct tn_formats formats = {builtin, sizeof builtin / sizeof *builtin};

const struct tn_formats *tn_formats_builtin(void)
{
    return &formats;
}
