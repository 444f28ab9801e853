/* Zone tables: tables whose rows are files in an object store.
 *
 * Every schema but default, system and information_schema is a zone. A zone's location is the one
 * of CREATE SCHEMA … WITH (location='…'), else <lake.dir>/<schema>/. A table's location is its
 * external_location, else <location of the zone>/<table>/. Locations are URLs of folders, with '/'
 * at the end:
 *
 *     file:///data/lake/bronze/plays/      (a plain absolute path means the same)
 *     s3://bucket/prefix/                  (s3a:// and s3n:// mean the same)
 *
 * A table with a table log (connectors/table_log.h) has exactly the files its log names; others
 * have every object below the location whose name and folders do not begin with '_' or '.'.
 *
 * Ownership: a zone table lives in its catalog entry. @thread any, immutable
 */
#ifndef TN_SQL_ZONE_H
#define TN_SQL_ZONE_H

#include "connectors/file_layout.h"
#include "sql/catalog.h"

#define TN_ZONE_URL_MAX 2048

struct tn_zone_table {
    const char *location;         /* URL, '/' at the end */
    bool is_external;             /* external_location was given: files are never removed by us */
    struct tn_file_layout layout; /* its schema: the columns that are stored in files */
    uint32_t partitions_count;    /* the last columns of the object's schema: key=value folders */
    uint32_t
        keys_count; /* a changelog: its first columns; "table$latest" has the last row of each */
    int64_t list_max_age_ms; /* how long a listing may be used again; 0 = list at each query */
};

/* Is the schema a zone? (It need not exist.) */
bool tn_zone_is_schema(struct tn_str schema_name);
/* URL of the zone, with '/' at the end. TN_E_INVALID: neither a location nor lake_dir. lake_dir:
 * the option lake.dir, NULL = none. */
enum tn_status tn_zone_schema_url(const struct tn_catalog *catalog, struct tn_str schema_name,
                                  const char *lake_dir, struct tn_buf *ret_url, struct tn_err *err);
/* URL of the folder of a table that has no external_location: a plain name below the zone's.
 * Refuses names that could leave it. */
enum tn_status tn_zone_table_url(const struct tn_catalog *catalog, struct tn_str schema_name,
                                 struct tn_str name, const char *lake_dir, struct tn_buf *ret_url,
                                 struct tn_err *err);
/* Canonical form of a location: scheme, no empty, "." or ".." folder, '/' at the end. `what` names
 * it in errors. */
enum tn_status tn_zone_url_clean(const char *what, struct tn_str url, struct tn_buf *ret_url,
                                 struct tn_err *err);
/* Query of the last row of each key of a changelog, without those that are tombstones. */
const char *tni_zone_latest_text(const struct tn_object *object, struct tn_arena *arena);

#endif
