/* SQL types. One type system; streaming names and Trino names are aliases of it.
 *
 * A struct tn_type is immutable. Scalar types are static singletons (tn_type_of); DECIMAL and
 * nested types live in the arena they were made in. Compare with tn_type_eq, never by pointer.
 * @thread any
 */
#ifndef TN_STREAM_TYPE_H
#define TN_STREAM_TYPE_H

#include "stream/base/arena.h"
#include "stream/base/buf.h"

enum tn_kind {
    TN_K_NULL,          /* type of the literal NULL before coercion */
    TN_K_BOOLEAN,       /* bit-packed values */
    TN_K_INTEGER,       /* int32 */
    TN_K_BIGINT,        /* int64 */
    TN_K_DOUBLE,        /* IEEE 754 binary64 */
    TN_K_DECIMAL,       /* 128-bit scaled integer, precision 1…38 */
    TN_K_VARCHAR,       /* UTF-8 */
    TN_K_BYTES,         /* VARBINARY */
    TN_K_DATE,          /* int32 days since 1970-01-01 */
    TN_K_TIME,          /* int64 µs of the day */
    TN_K_TIMESTAMP,     /* int64 µs since the epoch, no zone */
    TN_K_TIMESTAMP_TZ,  /* int64 µs since the epoch, UTC; shown in type->zone */
    TN_K_JSON,          /* text of one JSON value; query rules only */
    TN_K_INTERVAL_DAY,  /* int64 µs; query rules only */
    TN_K_INTERVAL_YEAR, /* int64 months; query rules only */
    TN_K_ARRAY,         /* children[0] = element */
    TN_K_MAP,           /* children[0] = key, children[1] = value */
    TN_K_STRUCT,        /* children = fields */
    TN_K_COUNT
};

#define TN_DECIMAL_PRECISION_MAX 38
#define TN_TYPE_DEPTH_MAX        32

struct tn_type;
struct tn_zone; /* stream/base/zone.h */

struct tn_field {
    struct tn_str name; /* declared spelling */
    const struct tn_type *type;
};

struct tn_type {
    enum tn_kind kind;
    uint8_t precision,
        scale;    /* DECIMAL; TIMESTAMP precision shown to Trino clients (3 by default) */
    uint8_t bits; /* constants of query rules: 8, 16 = INTEGER that is a TINYINT, SMALLINT; 32 =
                     DOUBLE that is a REAL; else 0. Only a name: no part of equality */
    const struct tn_zone
        *zone;           /* TIMESTAMP_TZ: where it is shown; NULL = UTC; no part of equality */
    uint32_t length_max; /* VARCHAR(n) of query rules; 0 = unbounded */
    uint32_t children_count;
    const struct tn_field *children;
};

/* Singleton of a scalar kind (not DECIMAL, ARRAY, MAP, STRUCT). */
const struct tn_type *tn_type_of(enum tn_kind kind);
const struct tn_type *tn_type_decimal(struct tn_arena *arena, int precision, int scale);
/* TINYINT (8), SMALLINT (16), REAL (32). */
const struct tn_type *tn_type_small(int bits);
/* The double whose shortest text is the shortest text of a REAL. */
double tn_real_shown(double value);
/* VARCHAR(n) of query rules; n 0 = the unbounded singleton. */
const struct tn_type *tn_type_varchar(struct tn_arena *arena, uint32_t length_max);
/* TIME, TIMESTAMP or TIMESTAMP_TZ with the precision shown to clients (3 = the singleton). */
const struct tn_type *tn_type_time(struct tn_arena *arena, enum tn_kind kind, int precision);
/* TIMESTAMP_TZ shown in `zone`. */
const struct tn_type *tn_type_zoned(struct tn_arena *arena, const struct tn_type *type,
                                    const struct tn_zone *zone);
const struct tn_type *tn_type_array(struct tn_arena *arena, const struct tn_type *element);
const struct tn_type *tn_type_map(struct tn_arena *arena, const struct tn_type *key,
                                  const struct tn_type *value);
const struct tn_type *tn_type_struct(struct tn_arena *arena, const struct tn_field *fields,
                                     uint32_t fields_count); /* copies fields and names */
const struct tn_type *tn_type_copy(struct tn_arena *arena, const struct tn_type *type);
/* Same kind, precision, scale, length and children; field names of STRUCT without case. */
bool tn_type_eq(const struct tn_type *a, const struct tn_type *b);

/* ksqlDB spelling ("STRING", "ARRAY<INTEGER>", "DECIMAL(4, 2)", "STRUCT<`A` INTEGER>") and Trino
 * spelling
 * ("varchar", "array(integer)", "decimal(4,2)", "row(a integer)"). */
void tn_type_print_ksql(const struct tn_type *type, struct tn_buf *buf);
void tn_type_print_trino(const struct tn_type *type, struct tn_buf *buf);
/* As the results of Trino's protocol have it: a space behind each comma, INTERVAL in capitals,
 * times without precision for clients that do not know them. */
void tn_type_print_display(const struct tn_type *type, bool has_precision, struct tn_buf *buf);
/* Trino's name without arguments ("timestamp with time zone", "row"), ksqlDB's. */
const char *tn_type_name_trino(const struct tn_type *type);
const char *tn_kind_trino(enum tn_kind kind);
const char *tn_kind_ksql(enum tn_kind kind);

static inline bool tn_kind_is_number(enum tn_kind k)
{
    return k >= TN_K_INTEGER && k <= TN_K_DECIMAL;
}
static inline bool tn_kind_is_varlen(enum tn_kind k)
{
    return k == TN_K_VARCHAR || k == TN_K_BYTES || k == TN_K_JSON;
}
static inline bool tn_kind_is_nested(enum tn_kind k)
{
    return k >= TN_K_ARRAY;
}
/* Bytes of one value in a column's values buffer: 0 for bit-packed, varlen and nested kinds. */
size_t tn_kind_width(enum tn_kind kind);

/* An ordered list of named, typed columns. Immutable once shared. */
struct tn_schema {
    uint32_t fields_count;
    const struct tn_field *fields;
};
/* Index of the field by case-blind name, -1 when absent. */
int tn_schema_find(const struct tn_schema *schema, struct tn_str name);

#endif
