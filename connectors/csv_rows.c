/* CSV (RFC 4180): fields, quoted or not. Contract: connectors/file_rows.h.
 *
 * HOW. One bitmap of separators, newlines and quotes per 64 bytes; a field ends at the next bit.
 * Fields that nobody reads cost their bit and nothing else. Fields of a needed column are stored at
 * once. A quote counts only at the start of a field; quoted fields may hold separators and
 * newlines.
 *
 * An empty field is NULL, a quoted empty one the empty text. Missing fields are NULL, more fields
 * than columns are ignored, blank lines are no rows. A quote without end makes its line bad.
 */
#include "connectors/file_rows.h"

#include "connectors/byte_mask.h"
#include "connectors/json_scan.h"
#include "connectors/text_value.h"
#include "stream/base/base64.h"
#include "stream/base/utf8.h"

struct csv {
    struct tni_file_rows *rows;
    const char *base; /* of bits */
    uint64_t bits;    /* special bytes of base[0…63] not yet met */
    const char *end;
    char separator, quote, escape;
    uint64_t wide;
};

/* ---- values ---- */

static struct tn_str trimmed(struct tn_str text)
{
    while (text.len && (*text.ptr == ' ' || *text.ptr == '\t'))
        text = (struct tn_str){text.ptr + 1, text.len - 1};
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static void store_bool(struct tni_cw *cw, uint32_t row, struct tn_str text)
{
    if (tn_str_eq_nocase(text, TN_STR("true")))
        tni_cw_bool(cw, row, true);
    else if (tn_str_eq_nocase(text, TN_STR("false")))
        tni_cw_bool(cw, row, false);
}

static void store_text(struct tni_cw *cw, uint32_t row, struct tn_str text, bool is_wide)
{
    if (TN_UNLIKELY(is_wide) && !tn_utf8_ok(text.ptr, text.len))
        return;
    char *to = tni_cw_text_begin(cw, row, text.len + 32);
    if (TN_LIKELY(text.len <= 32)) /* the buffers have room on both sides */
        memcpy(to, text.ptr, 32);
    else
        memcpy(to, text.ptr, text.len);
    tni_cw_text_end(cw, row, text.len);
}

static void store_field(struct csv *csv, uint32_t column, struct tn_str text, bool is_quoted)
{
    struct tni_cw *cw = &csv->rows->writers[column];
    uint32_t row = csv->rows->row;
    if (text.len == 0 && !is_quoted)
        return;
    if (TN_LIKELY(cw->kind == TN_K_VARCHAR)) {
        store_text(cw, row, text, csv->wide != 0);
        return;
    }
    text = trimmed(text);
    if (cw->kind == TN_K_BOOLEAN) {
        store_bool(cw, row, text);
    } else if (cw->kind == TN_K_BYTES) {
        char *to = tni_cw_text_begin(cw, row, text.len / 4 * 3 + 3);
        int64_t n = tn_base64_decode_strict(text, to);
        if (n >= 0)
            tni_cw_text_end(cw, row, (size_t)n);
    } else if (cw->kind == TN_K_JSON) {
        struct tn_json json = {text.ptr, text.ptr + text.len, NULL, 256};
        if (tn_json_check(&json))
            tni_cw_text(cw, row, text);
    } else if (text.len && !tni_text_store_iso(cw, row, text)) {
        (void)tni_text_store_number(cw, row, text, false); /* what does not fit is NULL */
    }
}

/* ---- fields ---- */

/* The next special byte at or behind the current base; csv->end when there is none. */
static inline const char *next_special(struct csv *csv)
{
    while (csv->bits == 0) {
        csv->base += TNI_MASK_BYTES;
        if (csv->base >= csv->end)
            return csv->end;
        csv->wide = 0;
        csv->bits = tni_mask3(csv->base, csv->separator, '\n', csv->quote, &csv->wide);
    }
    const char *at = csv->base + __builtin_ctzll(csv->bits);
    csv->bits &= csv->bits - 1;
    return at < csv->end ? at : csv->end;
}

static inline void seek(struct csv *csv, const char *p)
{
    csv->base = p;
    csv->wide = 0;
    csv->bits = p < csv->end ? tni_mask3(p, csv->separator, '\n', csv->quote, &csv->wide) : 0;
}

/* Text of the quoted field whose first byte is behind the opening quote at `open`; *ret_next = the
 * byte behind the closing quote, NULL = there is none. */
static struct tn_str quoted(struct csv *csv, const char *open, struct tn_arena *arena,
                            const char **ret_next)
{
    const char *from = open + 1, *p = from;
    bool is_plain = true;
    *ret_next = NULL;
    for (; p < csv->end; p++) {
        bool is_escape = csv->escape != csv->quote && *p == csv->escape;
        bool is_double =
            csv->escape == csv->quote && *p == csv->quote && p + 1 < csv->end && p[1] == csv->quote;
        if (is_escape || is_double) {
            is_plain = false;
            p++;
        } else if (*p == csv->quote) {
            break;
        }
    }
    if (p >= csv->end)
        return (struct tn_str){"", 0};
    *ret_next = p + 1;
    char *text = tn_arena_alloc(arena, (size_t)(p - from) + 64);
    size_t len = 0;
    for (const char *q = from; q < p; q++) {
        if (!is_plain && (*q == csv->escape) && q + 1 < p)
            q++;
        text[len++] = *q;
    }
    return (struct tn_str){text, len};
}

enum line_end { LINE_DONE, LINE_OPEN, LINE_BAD };

/* One line from p, whose special bytes are ahead; *ret_next = the start of the next line. */
static inline enum line_end csv_line(struct csv *csv, const char *p, const char **ret_next)
{
    struct tni_file_rows *rows = csv->rows;
    const bool *needed = rows->run.needed;
    uint32_t columns = rows->layout->schema->fields_count;
    for (uint32_t column = 0;; column++) {
        bool is_needed = column < columns && needed[column];
        const char *at = next_special(csv);
        if (TN_UNLIKELY(at < csv->end && *at == csv->quote)) {
            if (at == p) {
                const char *next;
                struct tn_str text = quoted(csv, at, rows->run.arena, &next);
                if (!next)
                    return rows->is_last ? LINE_BAD : LINE_OPEN;
                csv->wide = 1;
                if (is_needed)
                    store_field(csv, column, text, true);
                seek(csv, next);
                at = next_special(csv);
                is_needed = false;
            }
            while (at < csv->end && *at == csv->quote) /* inside a field: a plain byte */
                at = next_special(csv);
        }
        if (TN_UNLIKELY(at >= csv->end && !rows->is_last))
            return LINE_OPEN;
        bool is_end = at >= csv->end || *at == '\n';
        if (is_needed) {
            struct tn_str text = {p, (size_t)(at - p)};
            if (is_end && text.len && text.ptr[text.len - 1] == '\r')
                text.len--;
            if (TN_UNLIKELY(p < csv->base)) /* the field began before these 64 bytes */
                csv->wide = 1;
            store_field(csv, column, text, false);
        }
        p = at + 1;
        if (is_end) {
            *ret_next = at < csv->end ? p : csv->end;
            return LINE_DONE;
        }
    }
}

static bool is_blank(const char *p, const char *end)
{
    return p < end && (*p == '\n' || (*p == '\r' && p + 1 < end && p[1] == '\n'));
}

static inline const char *csv_rows(struct tni_file_rows *rows, const char *p, const char *end)
{
    const struct tn_file_layout *layout = rows->layout;
    struct csv csv = {.rows = rows,
                      .end = end,
                      .separator = layout->separator,
                      .quote = layout->quote,
                      .escape = layout->escape};
    seek(&csv, p);
    while (p < end && rows->row < rows->rows_max) {
        const char *next = end;
        if (TN_UNLIKELY(rows->lines < (int64_t)layout->header_lines || is_blank(p, end))) {
            const char *newline = memchr(p, '\n', (size_t)(end - p));
            if (!newline && !rows->is_last)
                return p;
            rows->lines++;
            p = newline ? newline + 1 : end;
            seek(&csv, p);
            continue;
        }
        enum line_end how = csv_line(&csv, p, &next);
        if (TN_UNLIKELY(how == LINE_OPEN)) {
            for (uint32_t c = 0; c < layout->schema->fields_count; c++)
                if (rows->run.needed[c])
                    tni_cw_undo(&rows->writers[c], rows->row);
            return p;
        }
        rows->lines++;
        if (TN_UNLIKELY(how == LINE_BAD)) {
            if (!tni_file_bad_line(rows, "quote without end"))
                return NULL;
            const char *newline = memchr(p, '\n', (size_t)(end - p));
            p = newline ? newline + 1 : end;
            seek(&csv, p);
            continue;
        }
        bool is_loose = next == end && rows->is_last && rows->is_tail_loose && end[-1] != '\n';
        if (TN_UNLIKELY(is_loose)) {
            for (uint32_t c = 0; c < layout->schema->fields_count; c++)
                if (rows->run.needed[c])
                    tni_cw_undo(&rows->writers[c], rows->row);
            return end;
        }
        tni_file_row_end(rows);
        p = next;
    }
    return p;
}

TNI_TARGET_AVX2 static const char *csv_rows_avx2(struct tni_file_rows *rows, const char *p,
                                                 const char *end)
{
    return csv_rows(rows, p, end);
}

const char *tni_csv_rows(struct tni_file_rows *rows, const char *p, const char *end)
{
    return tni_has_avx2() ? csv_rows_avx2(rows, p, end) : csv_rows(rows, p, end);
}
