/* Rows of one file. Contract: connectors/file_scan.h.
 *
 * One buffer holds what was read and not yet decoded: whole lines are decoded in place into the
 * columns of the batch, the rest moves to the front before more is read. A range of a file begins
 * behind the first newline at or behind from − 1 and ends with the line that begins before `to`.
 */
#include "connectors/file_scan.h"

#include "connectors/file_rows.h"
#include "connectors/formats.h"
#include "stream/base/mem.h"

#define BYTES_PER_ROW_MIN 16 /* a guess for sizing small batches */

struct tn_file_scan {
    struct tn_file_scan_spec spec;
    struct tn_file_bytes *bytes;
    struct tn_buf buf;
    size_t at;       /* decoded of buf */
    int64_t file_at; /* plain: place in the object of buf.ptr[at] */
    bool is_end;     /* nothing more to read */
    bool is_begun, is_over;
    bool has_rows;
    struct tn_codec *codec; /* JSON */
    struct tni_cw *writers; /* CSV */
    struct tni_file_rows rows;
    struct tn_file_scan_counts counts;
};

void tn_file_scan_close(struct tn_file_scan *scan)
{
    if (!scan)
        return;
    tn_file_bytes_close(scan->bytes);
    if (scan->codec)
        scan->codec->format->close(scan->codec);
    tn_buf_release(&scan->buf);
    tn_free(scan->writers);
    tn_free(scan);
}

enum tn_status tn_file_scan_open(const struct tn_file_scan_spec *spec,
                                 struct tn_file_scan **ret_scan, struct tn_err *err)
{
    struct tn_file_scan *scan = tn_alloc(sizeof *scan);
    enum tn_status st;
    int64_t from = spec->from > 0 ? spec->from - 1 : 0;
    struct tn_file_bytes_spec bytes = {.store = spec->store,
                                       .key = spec->key,
                                       .from = from,
                                       .to = spec->bytes,
                                       .expanded_max = spec->expanded_max,
                                       .timeout_ms = spec->timeout_ms,
                                       .etag = spec->etag};
    scan->spec = *spec;
    scan->file_at = from;
    tn_buf_init(&scan->buf, TN_FILE_LINE_MAX + ((size_t)1 << 20));
    TN_GOTO(tn_file_bytes_open(&bytes, &scan->bytes, err));
    if (spec->layout->format == TN_FILE_JSON) {
        struct tn_codec_spec codec = {
            .schema = spec->layout->schema, .needed = spec->needed, .is_lenient = true};
        TN_GOTO(tn_format_json.open(&tn_format_json, &codec, &scan->codec, err));
        scan->rows.json = (struct tni_json_codec *)scan->codec;
    } else {
        scan->writers =
            tn_alloc_array((size_t)spec->layout->schema->fields_count + 1, sizeof *scan->writers);
    }
    scan->rows.layout = spec->layout;
    scan->rows.is_tail_loose = spec->is_growing;
    *ret_scan = scan;
    return TN_OK;
fail:
    tn_file_scan_close(scan);
    return st;
}

const struct tn_file_scan_counts *tn_file_scan_counts(const struct tn_file_scan *scan)
{
    return &scan->counts;
}

enum tn_file_codec tn_file_scan_codec(const struct tn_file_scan *scan)
{
    return tn_file_bytes_codec(scan->bytes);
}

/* ---- reading ---- */

/* More bytes behind what is left in the buffer. */
static enum tn_status read_more(struct tn_file_scan *scan, struct tn_err *err)
{
    struct tn_buf *buf = &scan->buf;
    if (scan->at) {
        memmove(buf->ptr, buf->ptr + scan->at, buf->len - scan->at);
        buf->len -= scan->at;
        scan->at = 0;
    }
    if (buf->len > TN_FILE_LINE_MAX)
        return tn_err_set(err, TN_E_LIMIT, "object '%s', line %lld: longer than %zu bytes",
                          scan->spec.key, (long long)scan->rows.lines + 1, TN_FILE_LINE_MAX);
    struct tn_err why = TN_ERR_INIT;
    enum tn_status st = tn_file_bytes_read(scan->bytes, buf, &why);
    scan->counts.bytes = tn_file_bytes_fetched(scan->bytes);
    if (st == TN_E_CORRUPT && tn_file_bytes_is_short(scan->bytes) && scan->spec.is_growing) {
        scan->rows.is_tail_loose = true;
        st = TN_END;
    }
    if (st == TN_END) {
        scan->is_end = true;
        return TN_OK;
    }
    if (st == TN_NOT_FOUND && scan->is_begun)
        return tn_err_set(err, TN_E_BUSY, "object '%s' went away while it was read",
                          scan->spec.key);
    if (st != TN_OK) {
        if (err && tn_failed(st))
            *err = why;
        return st;
    }
    char *pad = tn_buf_reserve(buf, TNI_FILE_PAD);
    if (!pad)
        return tn_err_set(err, TN_E_LIMIT, "object '%s', line %lld: longer than %zu bytes",
                          scan->spec.key, (long long)scan->rows.lines + 1, TN_FILE_LINE_MAX);
    memset(pad, 0, TNI_FILE_PAD);
    return TN_OK;
}

/* The first bytes: a byte order mark, or the rest of a line that belongs to the range before. */
static enum tn_status begin(struct tn_file_scan *scan, struct tn_err *err)
{
    enum tn_status st = read_more(scan, err);
    if (st != TN_OK)
        return st;
    scan->is_begun = true;
    if (scan->spec.from == 0) {
        if (scan->buf.len >= 3 && memcmp(scan->buf.ptr, "\xEF\xBB\xBF", 3) == 0) {
            scan->at = 3;
            scan->file_at += 3;
        }
        return TN_OK;
    }
    for (;;) {
        char *from = scan->buf.ptr + scan->at;
        size_t len = scan->buf.len - scan->at;
        char *newline = len ? memchr(from, '\n', len) : NULL;
        size_t skip = newline ? (size_t)(newline - from) + 1 : len;
        scan->at += skip;
        scan->file_at += (int64_t)skip;
        if (newline || scan->is_end)
            return TN_OK;
        TN_TRY(read_more(scan, err));
    }
}

/* ---- decoding ---- */

static enum tn_status bad_line(const struct tn_file_scan *scan, struct tn_err *err)
{
    return tn_err_at(err, TN_E_INVALID, "HIVE_BAD_DATA", 0, 0, "object '%s', line %lld: %s",
                     scan->spec.key, (long long)scan->rows.bad_line, scan->rows.bad_reason);
}

/* Decode what the buffer holds; false: more bytes are needed. */
static enum tn_status decode_some(struct tn_file_scan *scan, bool *ret_more, struct tn_err *err)
{
    struct tni_file_rows *rows = &scan->rows;
    char *from = scan->buf.ptr + scan->at, *end = scan->buf.ptr + scan->buf.len;
    int64_t left = scan->spec.to - scan->file_at;
    bool is_ranged = scan->spec.to < scan->spec.bytes;
    *ret_more = true;
    if (is_ranged && left <= 0) {
        scan->is_over = true;
        return TN_OK;
    }
    if (is_ranged && end - from > left) { /* up to the end of the line that begins before `to` */
        char *newline = memchr(from + left - 1, '\n', (size_t)(end - (from + left - 1)));
        end = newline ? newline + 1 : end;
    }
    rows->is_last = scan->is_end && end == scan->buf.ptr + scan->buf.len;
    const char *stop = scan->spec.layout->format == TN_FILE_JSON ? tni_json_rows(rows, from, end)
                                                                 : tni_csv_rows(rows, from, end);
    if (!stop)
        return bad_line(scan, err);
    scan->at += (size_t)(stop - from);
    scan->file_at += stop - from;
    *ret_more = rows->row < rows->rows_max;
    if (stop == from && rows->is_last && *ret_more && stop < end)
        scan->at = scan->buf.len; /* nothing can be made of it */
    return TN_OK;
}

static uint32_t rows_guess(const struct tn_file_scan *scan)
{
    size_t left = scan->buf.len - scan->at;
    if (!scan->is_end && tn_file_bytes_codec(scan->bytes) != TN_FILE_PLAIN)
        return TN_BATCH_ROWS_MAX;
    if (scan->file_at + (int64_t)left < scan->spec.bytes)
        return TN_BATCH_ROWS_MAX;
    size_t guess = left / BYTES_PER_ROW_MIN + 2;
    return guess < TN_BATCH_ROWS_MAX ? (uint32_t)guess : TN_BATCH_ROWS_MAX;
}

static enum tn_status fill_batch(struct tn_file_scan *scan, struct tn_err *err)
{
    struct tni_file_rows *rows = &scan->rows;
    while (rows->row < rows->rows_max && !scan->is_over) {
        bool more = true;
        if (scan->at < scan->buf.len)
            TN_TRY(decode_some(scan, &more, err));
        if (!more || scan->is_over)
            return TN_OK;
        if (scan->is_end) {
            scan->is_over = scan->at >= scan->buf.len;
            if (scan->is_over)
                return TN_OK;
            continue;
        }
        enum tn_status st = read_more(scan, err);
        if (st != TN_OK)
            return st;
    }
    return TN_OK;
}

enum tn_status tn_file_scan_next(struct tn_file_scan *scan, struct tn_arena *arena,
                                 struct tn_column **ret_columns, uint32_t *ret_rows,
                                 struct tn_err *err)
{
    struct tni_file_rows *rows = &scan->rows;
    struct tn_decoded decoded;
    if (!scan->is_begun) {
        enum tn_status st = begin(scan, err);
        if (st != TN_OK)
            return st;
    }
    if (scan->is_over || (scan->is_end && scan->at >= scan->buf.len))
        return TN_END;
    rows->row = 0;
    rows->rows_max = rows_guess(scan);
    rows->writers = scan->codec ? ((struct tni_json_codec *)scan->codec)->writers : scan->writers;
    if (scan->codec)
        for (uint32_t c = 0; c < scan->spec.layout->schema->fields_count; c++)
            ((struct tni_json_codec *)scan->codec)->exact_row[c] = -1;
    tni_decode_begin(&rows->run, scan->spec.layout->schema, scan->spec.needed, rows->writers,
                     rows->rows_max, arena, &decoded);
    TN_TRY(fill_batch(scan, err));
    scan->counts.rows += rows->row;
    scan->counts.bad_lines = rows->bad_lines;
    if (rows->row == 0)
        return scan->is_over ? TN_END : tn_file_scan_next(scan, arena, ret_columns, ret_rows, err);
    rows->run.rows_count = rows->row;
    for (uint32_t c = 0; c < scan->spec.layout->schema->fields_count; c++)
        if (scan->spec.needed[c])
            rows->writers[c].rows_count = rows->row;
    tni_decode_finish(&rows->run);
    *ret_columns = decoded.columns;
    *ret_rows = rows->row;
    return TN_OK;
}
