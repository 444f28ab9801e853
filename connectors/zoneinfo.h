/* Time zones from the system's zone files, for tn_zone_set_loader (stream/base/zone.h). @thread any
 */
#ifndef TN_CONNECTORS_ZONEINFO_H
#define TN_CONNECTORS_ZONEINFO_H

#include "stream/base/buf.h"

/* Appends /usr/share/zoneinfo/<name> (or $TZDIR/<name>); false when there is no such file. */
bool tn_zoneinfo_load(const char *name, struct tn_buf *buf);

#endif
