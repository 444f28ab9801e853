/* Reads one TZif file. The name was checked by stream/base/zone.c: no "..", no leading slash. */
#include "connectors/zoneinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tn_zoneinfo_load(const char *name, struct tn_buf *buf)
{
    char path[512];
    const char *dir = getenv("TZDIR");
    int len = snprintf(path, sizeof path, "%s/%s", dir ? dir : "/usr/share/zoneinfo", name);
    if (len < 0 || (size_t)len >= sizeof path || strstr(name, ".."))
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char chunk[4096];
    size_t got;
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0)
        tn_buf_add(buf, chunk, got);
    bool is_read = !ferror(file) && !tn_buf_over(buf);
    fclose(file);
    return is_read;
}
