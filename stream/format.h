/* Port: record formats. connectors/ implements JSON, DELIMITED, KAFKA, NONE, RAW; the engine
 * decodes once per batch straight into columns and encodes result rows at the commit boundary.
 *
 * A codec is made for one side (key or value) of one topic. Its columns are a slice of the stream's
 * schema: fields[0…fields_count). `needed` (may be NULL = all) names the columns that some plan
 * reads: only those are materialised, but the whole input is always checked.
 *
 * @thread a codec is immutable after creation except for its scratch: one owner thread; make one
 * per worker.
 */
#ifndef TN_STREAM_FORMAT_H
#define TN_STREAM_FORMAT_H

#include "stream/batch.h"

enum tn_format_flags {
    TN_FMT_KEY = 1u << 0, /* may be a key format */
    TN_FMT_VALUE = 1u << 1,
    TN_FMT_MULTI = 1u << 2, /* several columns */
    TN_FMT_WRAP = 1u << 3   /* WRAP_SINGLE_VALUE may be given */
};

struct tn_codec_spec {
    bool is_key;
    bool is_bare;       /* one column, not wrapped in an object */
    char delimiter;     /* DELIMITED; 0 = ',' */
    bool is_case_exact; /* member names match exactly only (identifiers=ksql, quoted) */
    bool is_lenient;    /* zone tables: a bad field is NULL, not a bad record */
    uint32_t depth_max; /* nesting; 0 = 256 */
    const struct tn_schema *schema;
    const bool *needed; /* by field; NULL = all */
};

/* Why a row could not be decoded. `reason` is static text; position is the byte in the input, −1
 * unknown. */
struct tn_bad_row {
    uint32_t row;
    int32_t position;
    const char *reason;
    struct tn_str field; /* column name when one field is to blame; ptr NULL otherwise */
};

struct tn_decoded {
    struct tn_column *columns; /* fields_count; not needed = absent */
    uint8_t *null_rows; /* bitmap: input was null (or JSON `null`): all columns NULL; NULL pointer =
                           none */
    uint8_t *bad_rows;  /* bitmap: undecodable: all columns NULL; NULL pointer = none */
    uint32_t bad_count;
    struct tn_bad_row *bad; /* bad_count, ascending rows */
};

struct tn_codec;

struct tn_format {
    const char *name; /* upper case */
    unsigned flags;
    /* Refuses column types and shapes it cannot carry, naming the column. */
    enum tn_status (*open)(const struct tn_format *format, const struct tn_codec_spec *spec,
                           struct tn_codec **ret_codec, struct tn_err *err);
    void (*close)(struct tn_codec *codec);
    /* inputs[i].ptr NULL = null bytes. Columns and bitmaps in `arena`. */
    void (*decode)(struct tn_codec *codec, const struct tn_str *inputs, uint32_t rows_count,
                   struct tn_arena *arena, struct tn_decoded *ret_decoded);
    /* Append the bytes of each row to `buf`; ret_ends[i] = buf->len after row i. A row whose bit is
     * set in null_rows (may be NULL) writes nothing. */
    void (*encode)(struct tn_codec *codec, const struct tn_column *columns, uint32_t rows_count,
                   const uint8_t *null_rows, struct tn_buf *buf, size_t *ret_ends);
    const char *help;
};

struct tn_codec {
    const struct tn_format *format; /* first member of every implementation */
};

/* Registry handed to the engine by main.c: NULL-terminated list. */
struct tn_formats {
    const struct tn_format *const *items;
    size_t count;
};
const struct tn_format *tn_format_find(const struct tn_formats *formats, struct tn_str name);

#endif
