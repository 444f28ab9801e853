/* NDJSON: one object a line. Contract: connectors/file_rows.h. Blank lines are no rows; a line that
 * is no JSON object is bad. A newline inside an object ends it, so one bad line costs one row. */
#include "connectors/file_rows.h"

bool tni_file_bad_line(struct tni_file_rows *rows, const char *reason)
{
    if (!rows->bad_lines++) {
        rows->bad_reason = reason;
        rows->bad_line = rows->lines;
    }
    const struct tn_schema *schema = rows->layout->schema;
    for (uint32_t c = 0; c < schema->fields_count; c++)
        if (rows->run.needed[c])
            tni_cw_undo(&rows->writers[c], rows->row);
    if (rows->layout->on_bad == TN_FILE_BAD_NULL)
        tni_file_row_end(rows);
    return rows->layout->on_bad != TN_FILE_BAD_FAIL;
}

void tni_file_row_end(struct tni_file_rows *rows)
{
    const struct tn_schema *schema = rows->layout->schema;
    for (uint32_t c = 0; c < schema->fields_count; c++)
        if (rows->run.needed[c])
            tni_cw_row_end(&rows->writers[c], rows->row);
    rows->row++;
}

static const char *skip_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

/* The slow way through one line [p, line_end): what the object loop below did not take. */
static bool odd_line(struct tni_file_rows *rows, const char *p, const char *line_end,
                     const char *reason)
{
    p = skip_blank(p, line_end);
    if (p == line_end)
        return true;
    if (!reason && *p == '{') {
        struct tn_json json = {p, line_end, NULL, rows->json->depth_max};
        int col;
        reason = tni_json_decode_object(rows->json, &json, rows->row, true, &col);
        if (!reason && skip_blank(json.p, line_end) == line_end) {
            tni_file_row_end(rows);
            return true;
        }
        if (!reason)
            reason = "text after the JSON value";
    }
    return tni_file_bad_line(rows, reason ? reason : "expected a JSON object");
}

const char *tni_json_rows(struct tni_file_rows *rows, const char *p, const char *end)
{
    struct tni_json_codec *codec = rows->json;
    const char *last = end; /* behind the last newline */
    while (last > p && last[-1] != '\n')
        last--;
    while (p < last && rows->row < rows->rows_max) {
        struct tn_json json = {p, last, NULL, codec->depth_max};
        const char *reason = NULL;
        int col;
        rows->lines++;
        if (TN_LIKELY(*p == '{')) {
            reason = tni_json_decode_object(codec, &json, rows->row, true, &col);
            const char *q = json.p;
            if (TN_LIKELY(!reason)) {
                q += *q == '\r';
                if (TN_LIKELY(*q == '\n')) { /* q < last: the line ends with one */
                    tni_file_row_end(rows);
                    p = q + 1;
                    continue;
                }
                q = skip_blank(json.p, last);
                if (*q == '\n') {
                    tni_file_row_end(rows);
                    p = q + 1;
                    continue;
                }
                reason = "text after the JSON value";
            }
        }
        const char *newline = memchr(p, '\n', (size_t)(last - p));
        if (!odd_line(rows, p, newline, reason))
            return NULL;
        p = newline + 1;
    }
    if (rows->is_last && p == last && p < end && rows->row < rows->rows_max) {
        struct tn_json json = {skip_blank(p, end), end, NULL, codec->depth_max};
        rows->lines++;
        bool is_whole = tn_json_check(&json);
        if (is_whole || !rows->is_tail_loose) {
            if (!odd_line(rows, p, end, NULL))
                return NULL;
        }
        p = end;
    }
    return p;
}
