/* Time zones: fixed offsets, and named zones from TZif files (RFC 8536) that a loader outside
 * stream/ reads.
 *
 * UTC, GMT, Z, ±HH[:MM], UTC±HH[:MM] need no loader. main installs one that reads
 * /usr/share/zoneinfo; without it, or for an unknown name, tn_zone_find gives NULL and callers name
 * the zone in their error.
 *
 * Ownership: zones are cached for the life of the process. @thread any (the cache is locked; zones
 * are immutable)
 */
#ifndef TN_STREAM_BASE_ZONE_H
#define TN_STREAM_BASE_ZONE_H

#include "stream/base/buf.h"

#define TN_ZONE_BYTES_MAX ((size_t)1 << 20)
#define TN_ZONES_MAX      1024

struct tn_zone;

/* Appends the TZif bytes of a zone to `buf`; false when there is none. `name` is checked: letters,
 * digits, "_+-/", no "..", at most 64 bytes. */
typedef bool (*tn_zone_loader)(const char *name, struct tn_buf *buf);
/* Once, before threads start. */
void tn_zone_set_loader(tn_zone_loader fn);

const struct tn_zone *tn_zone_find(struct tn_str name);
struct tn_str tn_zone_name(const struct tn_zone *zone);
/* Seconds east of UTC at an instant. */
int32_t tn_zone_offset_s(const struct tn_zone *zone, int64_t utc_us);
/* Both directions stop at the ends of int64. Local wall time to UTC: a time that is skipped is
 * moved forward by the gap; one that comes twice is the first. */
int64_t tn_zone_to_utc(const struct tn_zone *zone, int64_t local_us);
static inline int64_t tn_zone_to_local(const struct tn_zone *zone, int64_t utc_us)
{
    int64_t local_us, offset_us = tn_zone_offset_s(zone, utc_us) * INT64_C(1000000);
    if (__builtin_add_overflow(utc_us, offset_us, &local_us))
        local_us = utc_us < 0 ? INT64_MIN : INT64_MAX;
    return local_us;
}

#endif
