/* A sink's record as text: a line each for state and positions, then the cut as an
 * entry of the table log. Contract: connectors/sink_int.h. */
#include "connectors/sink_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "stream/base/base64.h"

#define MAGIC "tarn-sink 1"

void tni_sink_record_print(const struct tni_sink_record *record, struct tn_buf *buf)
{
    char hex[33] = {0};
    tn_hex_put((struct tn_str){(const char *)record->log_id, 16}, false, hex);
    tn_buf_printf(buf, MAGIC " %s %" PRId64 " %" PRId64 " %d\n", hex, record->epoch,
                  record->version, (int)record->stage);
    tn_buf_add_text(buf, "positions");
    for (uint32_t i = 0; i < record->positions_count; i++)
        tn_buf_printf(buf, " %" PRId64, record->positions[i]);
    tn_buf_add_byte(buf, '\n');
    if (record->stage == TNI_CUT_NONE)
        return;
    tn_buf_add_text(buf, "cut\n");
    tn_table_entry_print(&record->cut, buf);
}

static struct tn_str next_line(struct tn_str *text)
{
    const char *end = text->len ? memchr(text->ptr, '\n', text->len) : NULL;
    struct tn_str line = {text->ptr, end ? (size_t)(end - text->ptr) : text->len};
    size_t used = line.len + (end ? 1 : 0);
    *text = (struct tn_str){text->ptr + used, text->len - used};
    return line;
}

static void parse_positions(const char *at, struct tn_arena *arena, struct tni_sink_record *record)
{
    char *end;
    uint32_t count = 0;
    for (const char *p = at; *p; p++)
        count += *p == ' ';
    record->positions = TN_ARENA_ARRAY(arena, int64_t, count + 1);
    while (*at == ' ') {
        record->positions[record->positions_count++] = strtoll(at + 1, &end, 10);
        at = end;
    }
}

enum tn_status tni_sink_record_parse(struct tn_str text, struct tn_arena *arena,
                                     struct tni_sink_record *ret_record, struct tn_err *err)
{
    struct tni_sink_record record = {.epoch = 0};
    char hex[33] = {0};
    int stage = 0;
    const char *line = tn_arena_str(arena, next_line(&text)).ptr;
    if (sscanf(line, MAGIC " %32[0-9a-f] %" SCNd64 " %" SCNd64 " %d", hex, &record.epoch,
               &record.version, &stage) != 4 ||
        strlen(hex) != 32 || stage < 0 || stage > TNI_CUT_COMMITTED)
        return tn_err_set(err, TN_E_CORRUPT, "the record of the sink cannot be read");
    tn_hex_decode(tn_str_of(hex), (char *)record.log_id);
    record.stage = (enum tni_cut_stage)stage;
    while (text.len) {
        line = tn_arena_str(arena, next_line(&text)).ptr;
        if (strncmp(line, "positions", 9) == 0)
            parse_positions(line + 9, arena, &record);
        else if (strcmp(line, "cut") == 0)
            break;
    }
    if (record.stage != TNI_CUT_NONE)
        TN_TRY(tn_table_entry_parse(text, record.version, arena, &record.cut, err));
    *ret_record = record;
    return TN_OK;
}
