/* Files of the live page, embedded at build time. */
#ifndef TN_DASHBOARDS_ASSETS_H
#define TN_DASHBOARDS_ASSETS_H

#include <stddef.h>
#include "stream/base/str.h"

struct tni_asset {
    const char *path; /* "/app.js" */
    const char *content_type;
    struct tn_str body; /* static */
    char etag[16];      /* "\"1a2b3c4d\"" */
};

/* Static; made on first use. @thread any */
const struct tni_asset *tni_assets(size_t *ret_count);

#endif
